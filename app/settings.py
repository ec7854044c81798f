"""Settings of the service: environment variables ``XEMPLAR_*``, or options of ``xemplar serve``."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from xemplar.archive.store import Store
from xemplar.cli.settings import settings_from
from xemplar.imaging import Limits
from xemplar.model.checkpoint import default_checkpoint
from xemplar.model.encoder import Precision, Runtime
from xemplar.retrieval.references import check_viewer_url

from .body import Pace

NAME = re.compile("[A-Za-z0-9._-]+")
"""Host name, without a port."""


class ServiceSettings(BaseSettings):
    """Settings of the service. Every field is read from ``XEMPLAR_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="XEMPLAR_", env_ignore_empty=True, frozen=True)

    store: Path = Field(
        Path("xemplar-store"), description="Folder with index, catalog and pictures."
    )
    checkpoint: Path = Field(
        default_factory=default_checkpoint,
        description="Checkpoint that the index was built with, if the store does not contain it.",
    )
    database_url: str = Field(
        "",
        description=(
            "SQLAlchemy URL of the catalog, as `postgresql+psycopg://user@host/name"
            "?password_file=/run/secrets/database_password`: the file holds the password, which "
            "an environment or a list of processes would show."
        ),
    )
    index_url: str = Field(
        "",
        description=(
            "Milvus server that holds the index, as `milvus://host:19530` or `milvus+tls://user@"
            "host/database?password_file=/run/secrets/milvus_password` (needs the extra `milvus`)."
        ),
    )
    runtime: Runtime = Field(
        Runtime.OPENVINO, description="`openvino`, or `pytorch` (needs the extra `explain`)."
    )
    precision: Precision = Field(
        Precision.AUTO,
        description=(
            "`auto` (bfloat16 where the processor has it; float32 with `pytorch`), `float32`, "
            "`bfloat16`."
        ),
    )
    threads: int = Field(
        0,
        ge=0,
        description=(
            "Threads of the network on OpenVINO: all for a query that is alone, divided among "
            "concurrent ones; 0 for all processors."
        ),
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 for any free port.")
    root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description=(
            "Path prefix under which a reverse proxy serves it, such as `/xemplar`; the proxy "
            "may strip it or pass it on."
        ),
    )
    max_upload_bytes: int = Field(
        64 * 2**20, gt=0, description="Maximum size of an image, in bytes."
    )
    max_pixels: int = Field(36_000_000, gt=0, description="Maximum number of pixels of an image.")
    decode_seconds: int = Field(
        20,
        ge=1,
        description=(
            "Time limit for decoding the largest image (less for smaller ones, from 1.5 s for "
            "the smallest); beyond it, 400."
        ),
    )
    decode_bytes: int = Field(
        2**30,
        ge=128 * 2**20,
        description=(
            "Memory limit for decoding the largest image (less for smaller ones, from 224 MiB "
            "for the smallest), in each decoding process, of which there are as many as "
            "concurrent queries; the largest images take 0.6 GB for a second."
        ),
    )
    concurrent_queries: int = Field(
        2,
        ge=1,
        description=(
            "Queries processed at once; the others wait. Requests without an image have as many "
            "turns of their own."
        ),
    )
    images_at_once: int = Field(
        16,
        ge=1,
        description=(
            "Images that have arrived and wait or are in process; while there are so many, "
            "further ones are answered 503 with Retry-After before they are read."
        ),
    )
    batches_at_once: int = Field(
        1,
        ge=1,
        description=(
            "Batches (`POST /query/batch`, up to 64 images each) processed at once, in addition "
            "to those images; beyond it, 503 with Retry-After. Batches never block single "
            "images."
        ),
    )
    images_arriving: int = Field(
        8,
        ge=1,
        description=(
            "Memory for bodies still arriving, in images of maximum size; when it is full, the "
            "body that has held the most for the longest is answered 503."
        ),
    )
    bodies_of_caller: int = Field(
        32,
        ge=1,
        description=(
            "Bodies arriving at once from one key, or without keys from one address; beyond it, "
            "429 with Retry-After."
        ),
    )
    body_seconds: float = Field(
        600.0, gt=0, description="Time limit for the arrival of a body; beyond it, 408."
    )
    stall_seconds: float = Field(
        20.0,
        gt=0,
        description=(
            "Time for which a body may stall, or be slower than the minimum rate; beyond it, 408."
        ),
    )
    head_seconds: float = Field(
        20.0,
        gt=0,
        description=(
            "Time limit for a request's headers, from the opening of the connection or the "
            "previous answer; beyond it, the connection is closed."
        ),
    )
    connections: int = Field(
        0,
        ge=0,
        description=(
            "Connections at once; beyond it, the one that has waited longest for a request is "
            "closed. 0: half of the limit of open files."
        ),
    )
    connections_per_address: int = Field(
        128,
        ge=0,
        description=(
            "Connections at once from one IPv4 address or one IPv6 network of 64 bits; beyond "
            "it, one of its own is closed. 0: no limit. Trusted proxies (`FORWARDED_ALLOW_IPS`, "
            "below), which all clients share, are exempt."
        ),
    )
    body_bytes_per_second: int = Field(
        16 * 1024,
        ge=0,
        description="Minimum rate of a body (a line of 1 Mbit/s carries 125,000); 0: any.",
    )
    wait_seconds: float = Field(
        30.0,
        gt=0,
        description="Time that a query waits for its turn; beyond it, 503 with Retry-After.",
    )
    requests_per_second: float = Field(
        50.0,
        ge=0,
        description=(
            "Rate limit for each key and each address, in the long run; beyond it, 429 with "
            "Retry-After; 0: no limit."
        ),
    )
    requests_at_once: int = Field(
        2000, ge=1, description="Burst of requests allowed above that rate."
    )
    wrong_keys_per_minute: float = Field(
        10.0, ge=0, description="Requests with a wrong key from one address; 0: no limit."
    )
    without_keys: Literal["loopback", "anywhere"] = Field(
        "loopback",
        description=(
            "Where the service may listen without API keys, open to every caller: `loopback`, "
            "or `anywhere`, for a container whose port is published on a loopback address only. "
            "Once a key has been created, losing all keys does not open it again."
        ),
    )
    hosts: str = Field(
        "",
        description=(
            "Host names of the service, separated by commas, such as `xray.hospital.example`; "
            "any other name is answered 421. `localhost`, the machine's own name and "
            "`XEMPLAR_HOST` are always accepted. If empty, the name is checked only while there "
            "is no API key."
        ),
    )
    cors_origins: str = Field(
        "",
        description=(
            "Origins whose pages may call the service, separated by commas, such as "
            "`https://viewer.hospital.example`."
        ),
    )
    open_metrics: bool = Field(
        False, description="`true`: `/metrics` needs no key; on a loopback address it never does."
    )
    purge_hours: float = Field(
        24.0,
        ge=0,
        description=(
            "Hours after a removal within which one job for all removals so far is queued, by "
            "which `xemplar worker` deletes the cases from index files; 0: within a minute. "
            "Without a worker, `xemplar generations purge` does it, and "
            "`xemplar_removal_age_seconds` shows that it is due."
        ),
    )
    audit_days: int = Field(
        2192,
        ge=0,
        description="Days to keep the audit trail: six years, as HIPAA requires; 0: for ever.",
    )
    cases_per_day_alarm: int = Field(
        1000,
        ge=0,
        description=(
            "Distinct cases shown to a key in a day (UTC) above which the log warns and "
            "`xemplar_keys_over_alarm` counts the key; 0: never."
        ),
    )
    cases_per_day: int = Field(
        0,
        ge=0,
        description=(
            "Distinct cases shown to a key in a day, after which it is answered 429 with "
            "Retry-After until midnight wherever cases are shown; 0: no limit."
        ),
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto",
        description=(
            "Format of the log on stderr: `text`, `json`, or `auto` (text on a terminal, else "
            "JSON)."
        ),
    )
    stop_seconds: int = Field(
        30, ge=1, description="Time that running requests have to finish when the service stops."
    )
    recent_queries: int = Field(
        128,
        ge=1,
        description=(
            "Queries that can be explained and repeated, in memory (1.4 MB each, the 32 newest up "
            "to 3.4 MB) and, over all services, in the catalog's database; a new one displaces one "
            "of the key that holds the most."
        ),
    )
    query_hours: float = Field(
        24.0,
        ge=0,
        description=(
            "Hours for which they are in the catalog's database (0.3 MB each; with PostgreSQL "
            "about 1.4 MB, with the sealed image); 0: in memory alone, until the service stops."
        ),
    )
    saved_days: float = Field(
        365.0,
        ge=0,
        description=(
            "Days for which a query that a reader put into a collection is kept with its image, "
            "sealed (about 1.4 MB each), in the catalog's database; 0: none can be saved."
        ),
    )

    reports: bool = Field(
        False,
        description=(
            "`true`: `POST /cases` and `PATCH /cases` take reports in English, of which only words "
            "of chest reports are stored (docs/reports.md). Otherwise text is refused."
        ),
    )
    viewer_url: str = Field(
        "",
        description=(
            "Address of a study in the hospital's viewer, with `{study}` for its UID, as "
            "`https://viewer.example/viewer?StudyInstanceUIDs={study}`: cases of DICOM images keep "
            "a reference to their study, sealed with the store's key, and lead there. Commands "
            "that add cases read it as well."
        ),
    )

    study_days: bool = Field(
        False,
        description=(
            "Cases of DICOM images keep how many days lie between their patient's studies, for "
            "timelines: the day is moved by a secret number of days, the same for all of a "
            "patient's, and no date is kept. Commands that add cases read it as well."
        ),
    )

    @field_validator("root_path", mode="before")
    @classmethod
    def _without_slash(cls, given: str) -> str:
        """Normalise to the form /xemplar."""
        return f"/{inside}" if (inside := given.strip("/")) else ""

    @field_validator("hosts")
    @classmethod
    def _are_names(cls, given: str) -> str:
        """Refuse anything that is not a host name or address, such as a URL."""
        for name in _listed(given):
            if not (NAME.fullmatch(name) or _is_address(name)):
                raise ValueError(
                    f"{name!r} is not a host name; write it without scheme, port and path"
                )
        return given

    @field_validator("viewer_url")
    @classmethod
    def _leads_to_a_study(cls, given: str) -> str:
        """Refuse an address that names no study."""
        return check_viewer_url(given) if given else given

    @property
    def named_hosts(self) -> frozenset[str]:
        """Names of the service, in lower case."""
        return frozenset(name.lower() for name in _listed(self.hosts))

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins whose pages may call the service."""
        return _listed(self.cors_origins)

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach the service."""
        if not _is_address(self.host):
            return self.host == "localhost"
        return ip_address(self.host).is_loopback

    @property
    def archive(self) -> Store:
        """The store."""
        return Store(self.store, self.index_url)

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the catalog."""
        return self.database_url or self.archive.database_url

    @property
    def limits(self) -> Limits:
        """Limits that are checked before an image is decoded."""
        return Limits(max_bytes=self.max_upload_bytes, max_pixels=self.max_pixels)

    @property
    def pace(self) -> Pace:
        """Minimum upload speed of a body."""
        return Pace(self.body_seconds, self.stall_seconds, self.body_bytes_per_second)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _listed(given: str) -> tuple[str, ...]:
    """Split a list at its commas; an empty text is an empty list."""
    return tuple(one.strip() for one in given.split(",") if one.strip())


def read_settings(**named: Any) -> ServiceSettings:
    """Read the settings from the environment; ``named`` ones win over it.

    Raises:
        ConfigurationError: a variable is misspelt, or its value is out of range.
    """
    return settings_from(ServiceSettings, **named)
