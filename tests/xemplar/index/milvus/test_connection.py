"""A server's URL is read or refused, and its password shown to nobody; no server is needed."""

import sys
from pathlib import Path

import pytest

from tests.xemplar.index.vectors import checkpoint
from xemplar.archive.store import Store
from xemplar.errors import ConfigurationError
from xemplar.index import current, known_factory, open_generation
from xemplar.index.inverted import FLAT_LIMIT
from xemplar.index.milvus.collection import factory_for, lists_of
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
    with pytest.raises(ConfigurationError, match=r"pip install 'xemplar\[milvus\]'"):
        current(Store(Path(), "milvus://localhost:1/not-installed"))


def test_the_catalog_belongs_to_an_index_in_milvus(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="used together with its catalog"):
        open_generation(Store(tmp_path, "milvus://host"), checkpoint())


@pytest.mark.parametrize(
    ("factory", "known"),
    [
        ("auto", "auto"),
        ("Flat", "Flat"),
        ("IDMap2,Flat", "Flat"),
        ("IVF65536,Flat", "IVF65536,Flat"),
    ],
)
def test_an_index_compares_all_or_has_inverted_lists_in_full_precision(
    tmp_path: Path, factory: str, known: str
) -> None:
    assert known_factory(Store(tmp_path, "milvus://host"), factory) == known


@pytest.mark.parametrize(
    "factory", ["HNSW32", "IDMap2,HNSW32", "IVF0,Flat", "IVF16", "IVF16,SQ8", "PQ8", "no"]
)
def test_an_index_that_cannot_be_searched_exactly_is_refused(tmp_path: Path, factory: str) -> None:
    with pytest.raises(ConfigurationError, match="IVF2048,Flat"):
        known_factory(Store(tmp_path, "milvus://host"), factory)


def test_more_lists_than_milvus_takes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at most 65,536"):
        known_factory(Store(tmp_path, "milvus://host"), "IVF65537,Flat")


@pytest.mark.parametrize(
    ("count", "factory", "lists"),
    [(FLAT_LIMIT, "Flat", 0), (10**6, "IVF2000,Flat", 2000), (10**8, "IVF20000,Flat", 20_000)],
)
def test_the_number_of_cases_decides_on_the_lists(count: int, factory: str, lists: int) -> None:
    assert factory_for(count) == factory
    assert lists_of(factory) == lists
