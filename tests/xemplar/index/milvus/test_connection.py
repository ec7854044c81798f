"""A server's URL is read or refused, and its password shown to nobody; no server is needed."""

import sys
from pathlib import Path

import pytest

from tests.xemplar.index.vectors import checkpoint
from xemplar.archive.store import Store
from xemplar.errors import ConfigurationError
from xemplar.index import check_factory, current, open_generation
from xemplar.index.milvus.collection import FLAT_CASES, IndexKind
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
    ("factory", "count", "kind"),
    [
        ("Flat", 10**8, IndexKind("FLAT")),
        ("IVF16,Flat", 100, IndexKind("IVF_FLAT", 16)),
        ("IVF16,SQ8", 100, IndexKind("IVF_SQ8", 16)),
        ("IDMap2,Flat", FLAT_CASES, IndexKind("FLAT")),
        ("IDMap2,Flat", 10**6, IndexKind("IVF_SQ8", 2000)),
    ],
)
def test_a_factory_string_or_the_size_decides_on_the_index(
    factory: str, count: int, kind: IndexKind
) -> None:
    assert IndexKind.of(factory, count) == kind
    assert IndexKind.of(kind.factory, count) == kind
    assert kind.full_precision == (kind.name != "IVF_SQ8")


@pytest.mark.parametrize("factory", ["HNSW32", "IDMap2,HNSW32", "IVF0,Flat", "IVF16", "PQ8", "no"])
def test_an_index_that_cannot_be_filtered_exactly_is_refused(tmp_path: Path, factory: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Flat, IVF1024,Flat or IVF1024,SQ8"):
        check_factory(Store(tmp_path, "milvus://host"), checkpoint(), factory)
