"""Settings of the service: environment variables ``XEMPLAR_*``, or options of ``xemplar serve``."""

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from xemplar.archive.store import Store
from xemplar.cli.environment import check_environment
from xemplar.errors import ConfigurationError
from xemplar.imaging import Limits
from xemplar.model.checkpoint import default_checkpoint
from xemplar.model.encoder import Precision, Runtime

from .body import Pace

NAME = re.compile("[A-Za-z0-9._-]+")
"""Name of a machine, without its port."""


class Settings(BaseSettings):
    """What the service needs to know. Every field is read from ``XEMPLAR_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="XEMPLAR_", env_ignore_empty=True, frozen=True)

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
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Prefix under which a reverse proxy shows the service, as /xemplar.",
    )
    max_upload_bytes: int = Field(64 * 2**20, gt=0, description="Largest image, in bytes.")
    max_pixels: int = Field(36_000_000, gt=0, description="Most pixels of an image.")
    decode_seconds: int = Field(
        20, ge=1, description="An image that takes longer to decode is answered 400."
    )
    decode_bytes: int = Field(
        2**30, ge=128 * 2**20, description="Memory that decoding an image may take, in bytes."
    )
    concurrent_queries: int = Field(
        2, ge=1, description="Queries decoded and answered at once; the others wait."
    )
    images_at_once: int = Field(
        16, ge=1, description="Images worked on at once; more are answered 503, to come back."
    )
    batches_at_once: int = Field(
        1,
        ge=1,
        description="Batches worked on at once, beside those images; more are answered 503.",
    )
    images_arriving: int = Field(
        8, ge=1, description="Memory for what still arrives, in images of the largest size."
    )
    bodies_of_caller: int = Field(
        32, ge=1, description="Bodies that arrive at once from one key, or from one address."
    )
    body_seconds: float = Field(
        600.0, gt=0, description="A request whose body takes longer to arrive is answered 408."
    )
    stall_seconds: float = Field(
        20.0, gt=0, description="So is one that is slower than the least rate for so long."
    )
    head_seconds: float = Field(
        20.0, gt=0, description="A connection whose request does not begin in time is closed."
    )
    connections: int = Field(
        0, ge=0, description="Connections at once; 0: half of the files that may be open."
    )
    connections_per_address: int = Field(
        128, ge=0, description="Of these, from one address that is no trusted proxy; 0: no limit."
    )
    body_bytes_per_second: int = Field(
        16 * 1024, ge=0, description="Least rate at which a body arrives; 0: any."
    )
    wait_seconds: float = Field(
        30.0, gt=0, description="A query that waits longer for its turn is answered 503."
    )
    requests_per_second: float = Field(
        50.0, ge=0, description="Of each key and of each address, in the long run; 0: no limit."
    )
    requests_at_once: int = Field(
        2000, ge=1, description="Requests that may come before that limit is felt."
    )
    wrong_keys_per_minute: float = Field(
        10.0, ge=0, description="Requests with a wrong key, of each address; 0: no limit."
    )
    without_keys: Literal["loopback", "anywhere"] = Field(
        "loopback",
        description="Where the service may listen while there is no key and all may do everything.",
    )
    hosts: str = Field(
        "", description="Names that the service is asked for by, separated by commas."
    )
    cors_origins: str = Field(
        "", description="Origins whose web pages may ask, separated by commas; empty: none."
    )
    open_metrics: bool = Field(
        False, description="/metrics needs no key; on a loopback address it never does."
    )
    purge_hours: float = Field(
        24.0,
        ge=0,
        description="Within so many hours of a removal a job is queued that deletes what index "
        "files hold of the case, for all removals until then.",
    )
    audit_days: int = Field(
        2192, ge=0, description="Days that the audit trail is kept (six years); 0: for ever."
    )
    cases_per_day_alarm: int = Field(
        1000, ge=0, description="A key that is shown more cases in a day is logged; 0: never."
    )
    cases_per_day: int = Field(
        0, ge=0, description="A key that was shown so many cases in a day waits; 0: no limit."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="Of the log on stderr; auto: text on a terminal, else JSON."
    )
    stop_seconds: int = Field(
        30, ge=1, description="How long running requests may go on when the service is stopped."
    )
    recent_queries: int = Field(
        128, ge=1, description="Queries whose pictures can still be fetched (about 1.4 MB each)."
    )

    @field_validator("root_path", mode="before")
    @classmethod
    def _without_slash(cls, given: str) -> str:
        """As /xemplar, also where xemplar/ was meant."""
        return f"/{inside}" if (inside := given.strip("/")) else ""

    @field_validator("hosts")
    @classmethod
    def _are_names(cls, given: str) -> str:
        """Refuse what no request could ask for, as a URL."""
        for name in _listed(given):
            if not (NAME.fullmatch(name) or _is_address(name)):
                raise ValueError(f"{name!r} is no name; write it without scheme, port and path")
        return given

    @property
    def named_hosts(self) -> frozenset[str]:
        """Names of the service, in lower case."""
        return frozenset(name.lower() for name in _listed(self.hosts))

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins whose web pages may ask."""
        return _listed(self.cors_origins)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if not _is_address(self.host):
            return self.host == "localhost"
        return ip_address(self.host).is_loopback

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the catalog."""
        return self.database_url or Store(self.store).database_url

    @property
    def limits(self) -> Limits:
        """Limits that refuse an image before it is decoded."""
        return Limits(max_bytes=self.max_upload_bytes, max_pixels=self.max_pixels)

    @property
    def pace(self) -> Pace:
        """Least pace of a body that arrives."""
        return Pace(self.body_seconds, self.stall_seconds, self.body_bytes_per_second)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _listed(given: str) -> tuple[str, ...]:
    """What stands between commas; nothing stands in an empty text."""
    return tuple(one.strip() for one in given.split(",") if one.strip())


def read_settings(**named: Any) -> Settings:
    """The settings: those named here, the environment for the others.

    Raises:
        ConfigurationError: a variable is misspelt, or its value outside its range.
    """
    check_environment(os.environ)
    try:
        return Settings(**named)
    except ValidationError as error:
        wrong = "; ".join(
            f"XEMPLAR_{str(e['loc'][0]).upper()} is {e['input']!r}: {e['msg']}"
            for e in error.errors()
        )
        raise ConfigurationError(f"{wrong}; docs/settings.md lists all settings") from error
