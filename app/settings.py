"""Settings of the service: environment variables ``XEMPLAR_*``, or options of ``xemplar serve``."""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from xemplar.checkpoint import default_checkpoint
from xemplar.encoder import Precision, Runtime
from xemplar.errors import ConfigurationError


class Settings(BaseSettings):
    """What the service needs to know. Every field is read from ``XEMPLAR_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="XEMPLAR_", frozen=True)

    store: Path = Field(Path("xemplar-store"), description="Folder with index, catalog, pictures.")
    checkpoint: Path = Field(
        default_factory=default_checkpoint, description="Checkpoint that the index was built with."
    )
    database_url: str = Field(
        "", description="SQLAlchemy URL of the catalog; empty for SQLite in the store."
    )
    runtime: Runtime = Field(Runtime.OPENVINO, description="openvino or pytorch.")
    precision: Precision = Field(Precision.AUTO, description="auto, float32 or bfloat16.")
    threads: int = Field(0, ge=0, description="Threads of one forward pass; 0: all processors.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    root_path: str = Field(
        "", description="Prefix under which a reverse proxy shows the service, as /xemplar."
    )
    max_upload_bytes: int = Field(64 * 2**20, gt=0, description="Largest film, in bytes.")
    max_pixels: int = Field(36_000_000, gt=0, description="Most pixels of a film.")
    concurrent_queries: int = Field(
        2, ge=1, description="Queries decoded and answered at once; the others wait."
    )
    films_at_once: int = Field(
        16, ge=1, description="Films held in memory at once; more are answered 503, to come back."
    )
    recent_queries: int = Field(
        128, ge=1, description="Queries whose pictures can still be fetched (about 1.4 MB each)."
    )


def read_settings(**named: Any) -> Settings:
    """The settings: those named here, the environment for the others.

    Raises:
        ConfigurationError: a value is outside its range; naming its variable.
    """
    try:
        return Settings(**named)
    except ValidationError as error:
        wrong = "; ".join(
            f"XEMPLAR_{str(e['loc'][0]).upper()} is {e['input']!r}: {e['msg']}"
            for e in error.errors()
        )
        raise ConfigurationError(f"{wrong}; docs/settings.md lists all settings") from error
