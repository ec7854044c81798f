"""Settings of the DICOM node: environment variables ``XEMPLAR_PACS_*``, or options."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from xemplar.cli.settings import settings_from
from xemplar.errors import ConfigurationError
from xemplar.imaging import Limits

from .address import ArchiveAddress, archive_address
from .listen.peers import Peers

MOST_CASES = 24
"""Most cases of a result, as `results.objects` has it."""


class NodeSettings(BaseSettings):
    """Settings of the node. Every field is read from ``XEMPLAR_PACS_<FIELD>``."""

    model_config = SettingsConfigDict(
        env_prefix="XEMPLAR_PACS_", env_ignore_empty=True, frozen=True
    )

    folder: Path = Field(
        Path("xemplar-pacs"),
        description=(
            "Folder of the node's own: images and results until they are done with, which name "
            "their patients. On a disk that keeps what it acknowledged, not in the store."
        ),
    )
    do: Literal["ask", "index", "both"] = Field(
        "ask",
        description=(
            "What becomes of a received image: `ask` (results go to the archive), `index` (it "
            "becomes a case), `both`."
        ),
    )
    send: Literal["all", "report", "picture"] = Field(
        "all",
        description=(
            "Results that go to the archive: `all`; `report`: the Structured Report without "
            "pictures of past cases; `picture`: the Secondary Capture."
        ),
    )
    archive: str = Field(
        "",
        description=(
            "Archive that gets the results: `dicom://TITLE@host:port`, `dicom+tls://TITLE@host:"
            "port`, or STOW-RS, as `https://user@host/dicom-web?password_file=/run/secrets/pacs`."
        ),
    )
    title: str = Field(
        "XEMPLAR",
        pattern=r"^[A-Z0-9_.-]{1,16}$",
        description="The node's own AE title; associations that call another one are rejected.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        11112, ge=0, le=65535, description="DICOM port to listen on; 0 for any free port."
    )
    peers: str = Field(
        "",
        description=(
            "Peers that may connect, separated by commas: AE title and address or network, as "
            "`ORTHANC@10.1.2.3,CR_*@10.1.4.0/24`; `*` stands for any letters. If empty, any "
            "title from this machine alone."
        ),
    )
    certificate: Path | None = Field(
        None, description="Certificate chain (PEM) of the node; with it, associations need TLS."
    )
    private_key: Path | None = Field(None, description="Private key (PEM) of that certificate.")
    trusted: Path | None = Field(
        None,
        description=(
            "Certificates (PEM) of the authorities that peers and archive must be certified by. "
            "If empty, peers need no certificate, and the archive one that this machine trusts."
        ),
    )
    associations: int = Field(
        8, ge=1, le=200, description="Associations at once; further ones are rejected for now."
    )
    pdu_bytes: int = Field(
        65536, ge=4096, le=2**20, description="Largest PDU that is received, in bytes."
    )
    image_bytes: int = Field(
        64 * 2**20,
        ge=2**20,
        description=(
            "Largest object that is received, in bytes; the association of a larger one is aborted."
        ),
    )
    free_bytes: int = Field(
        2**30,
        ge=0,
        description=(
            "Free room on the folder's disk below which images are refused as out of resources."
        ),
    )
    stall_seconds: float = Field(
        60.0,
        gt=0,
        description=(
            "Time that a peer or the archive may say nothing in the middle of something, or "
            "between two messages; then the association is aborted."
        ),
    )
    retry_seconds: float = Field(
        300.0,
        ge=1,
        description=(
            "Longest wait between two attempts to deliver results; it begins at 1 s and doubles, "
            "less up to a half by chance."
        ),
    )
    tries: int = Field(
        8,
        ge=1,
        description=(
            "Attempts after which an object that the archive refuses, or an image that fails, is "
            "held until `xemplar dicom outbox retry`. While the archive does not answer, none "
            "is counted."
        ),
    )
    remember_days: int = Field(
        30,
        ge=0,
        description=(
            "Days for which digests of images that were done are kept, so that a repetition is "
            "acknowledged and does nothing; 0: an hour at most."
        ),
    )
    source: str = Field(
        "pacs",
        pattern=r"^[^\x00-\x1f,]{1,100}$",
        description=(
            "Name of the data set that indexed images belong to, and within which patient ids "
            "(with their issuer) are unique; give another archive another name."
        ),
    )
    cases: int = Field(5, ge=1, le=MOST_CASES, description="Similar cases in a result.")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of Prometheus metrics, on the same address; 0: none."
    )

    @field_validator("archive")
    @classmethod
    def _is_an_archive(cls, given: str) -> str:
        if given:
            archive_address(given)
        return given

    @field_validator("peers")
    @classmethod
    def _are_peers(cls, given: str) -> str:
        Peers.parse(given)
        return given

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key belong together; give both, or neither")
        return self

    @property
    def limits(self) -> Limits:
        """Limits that are checked before an image is decoded."""
        return Limits(max_bytes=self.image_bytes)

    @property
    def archive_address(self) -> ArchiveAddress:
        """Where results go.

        Raises:
            ConfigurationError: none is named.
        """
        if not self.archive:
            raise ConfigurationError(
                "results need an archive to go to; name it in XEMPLAR_PACS_ARCHIVE, as "
                "dicom://TITLE@host:port, or do nothing but index (XEMPLAR_PACS_DO=index)"
            )
        return archive_address(self.archive)


def read_settings(**named: Any) -> NodeSettings:
    """Read the settings from the environment; ``named`` ones win over it.

    Raises:
        ConfigurationError: a variable is misspelt, or its value is out of range.
    """
    return settings_from(NodeSettings, **named)
