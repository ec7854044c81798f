"""A server's URL is read or refused, and its password shown to nobody; no server is needed."""

import sys
from pathlib import Path

import pytest

from tests.xemplar.index.vectors import checkpoint
from xemplar.archive.store import Store
from xemplar.errors import ConfigurationError
from xemplar.index import current, open_generation
from xemplar.index.milvus.collection import IndexKind
from xemplar.index.milvus.connection import address_of, connect


@pytest.mark.parametrize(
    "url",
    [
        "milvus",
        "http://host:19530",
        "milvus://",
        "milvus:///database",
        "milvus://host:port",
        "milvus://host?password=secret",
        "postgresql://user:secret@host/name",
    ],
)
def test_what_names_no_server_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="milvus://HOST:19530") as no:
        current(Store(tmp_path, url))
    assert "secret" not in str(no.value)


def test_a_url_names_host_port_database_and_user() -> None:
    address = address_of("milvus+tls://me@host:1234/archive?password_file=/run/secrets/milvus")
    assert (address.host, address.port, address.database) == ("host", 1234, "archive")
    assert address.username == "me"


@pytest.mark.parametrize(("content", "why"), [(None, "cannot be read"), ("", "is empty")])
def test_a_password_file_that_is_of_no_use_is_told(
    tmp_path: Path, content: str | None, why: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=f"Milvus server's password.*{why}"):
        connect(f"milvus://me@host?password_file={file}")


def test_what_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'xemplar\[milvus\]'"):
        connect("milvus://localhost:1/not-installed")


def test_the_catalog_belongs_to_an_index_in_milvus(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="used together with its catalog"):
        open_generation(Store(tmp_path, "milvus://host"), checkpoint())


@pytest.mark.parametrize(
    ("factory", "kind"), [("Flat", IndexKind("FLAT")), ("IVF16,SQ8", IndexKind("IVF_SQ8", 16))]
)
def test_a_factory_string_names_an_index_of_milvus(factory: str, kind: IndexKind) -> None:
    assert IndexKind.of(factory) == kind
    assert kind.factory == factory
    assert kind.full_precision == (factory == "Flat")
