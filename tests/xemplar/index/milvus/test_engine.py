"""Generations in Milvus are built, published, removed and refused as those of files are."""

import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from tests.xemplar.index.milvus.archive import CASES, DIGEST, VECTORS, add, case_id, published
from tests.xemplar.index.vectors import checkpoint
from xemplar.archive.store import Store
from xemplar.catalog import Catalog
from xemplar.errors import (
    ConfigurationError,
    CorruptArtefact,
    Mismatch,
    NotFound,
    NothingIndexed,
)
from xemplar.index import (
    DamagedGeneration,
    build,
    check_answers,
    check_content,
    current,
    generations,
    held,
    manifest_of,
    open_generation,
    publish,
    remove,
    sweep,
)
from xemplar.index.milvus import building, collection, connection, engine
from xemplar.index.milvus.connection import connect

Own = tuple[Store, Catalog]


def names(store: Store) -> list[str]:
    return [one.name for one in generations(store)]


def collection_of(store: Store, name: str) -> str:
    return engine._collection(name)


@pytest.fixture(scope="module")
def two(store: Store, catalog: Catalog) -> tuple[str, str]:
    """The names of two generations, the later of which is live."""
    add(catalog, range(20))
    first = published(store, catalog).name
    add(catalog, range(20, 30))
    return first, published(store, catalog).name


def test_an_alias_names_the_live_one_and_moves_back_and_forth(
    store: Store, catalog: Catalog, two: tuple[str, str]
) -> None:
    first, second = two
    assert names(store) == [first, second]
    for name, cases in ((first, 20), (second, 30)):
        publish(store, name)
        assert current(store) == name
        assert len(open_generation(store, checkpoint(), catalog=catalog)) == cases
        assert manifest_of(store, name).count == cases
        assert check_content(store, name) == manifest_of(store, name)
        check_answers(store)


def test_another_index_opened_before_answers_on(
    store: Store, catalog: Catalog, two: tuple[str, str]
) -> None:
    before = open_generation(store, checkpoint(), two[1], catalog)
    publish(store, two[0])
    publish(store, two[1])
    publish(store, two[0])
    assert len(before.search(VECTORS[0], 30).ids) == 30


def test_the_live_one_is_not_removed_and_others_are(own: Own) -> None:
    store, catalog = own
    add(catalog, range(5))
    first, second = published(store, catalog).name, published(store, catalog).name
    with pytest.raises(ConfigurationError, match="is live"):
        remove(store, second)
    remove(store, first)
    assert names(store) == [second]
    assert not (store.generations / first).exists()
    with pytest.raises(NotFound, match=second):
        remove(store, first)


def test_an_alias_that_points_nowhere_is_told_and_mended(own: Own) -> None:
    store, catalog = own
    with pytest.raises(NothingIndexed, match="xemplar reindex"):
        current(store)
    add(catalog, range(5))
    manifest = build(store, checkpoint(), lambda: catalog.vectors(DIGEST), catalog=catalog)
    with pytest.raises(CorruptArtefact, match=f"activate NAME.*{manifest.name}|{manifest.name}"):
        current(store)
    live = published(store, catalog).name
    connect(store.index_url).drop_collection(collection_of(store, live))  # not by this software
    with pytest.raises(CorruptArtefact, match="names no generation"):
        open_generation(store, checkpoint(), catalog=catalog)
    publish(store, manifest.name)
    assert current(store) == manifest.name


def test_a_missing_generation_is_told(store: Store, catalog: Catalog, two: tuple[str, str]) -> None:
    with pytest.raises(NotFound, match=two[0]):
        open_generation(store, checkpoint(), "20200101T000000Z-11111111", catalog)
    with pytest.raises(NotFound):
        publish(store, "nonsense; drop")


def test_a_collection_of_another_checkpoint_is_refused(
    store: Store, catalog: Catalog, two: tuple[str, str]
) -> None:
    with pytest.raises(Mismatch, match=r"1{12}.*2{12}"):
        open_generation(store, checkpoint("2" * 64), two[0], catalog)


def test_a_server_of_another_version_is_refused(
    store: Store, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "VERSION", "2.4")
    connect.cache_clear()
    with pytest.raises(ConfigurationError, match=r"Milvus v2\.3\.5.*works with 2\.4"):
        current(store)
    connect.cache_clear()


def test_a_database_that_is_not_there_is_told(store: Store) -> None:
    with pytest.raises(ConfigurationError, match="no database 'elsewhere'"):
        current(Store(store.root, store.index_url.rsplit("/", 1)[0] + "/elsewhere"))


def test_a_collection_that_lacks_a_part_is_refused(own: Own) -> None:
    store, catalog = own
    add(catalog, range(10))
    live = published(store, catalog)
    client = connect(store.index_url)
    client.delete(collection_of(store, live.name), ids=[int(live.ids[3])])
    client.flush(collection_of(store, live.name))
    deadline = time.monotonic() + 60
    # a deletion takes effect when the server has read its own log
    while len(collection._ids(store.index_url, collection_of(store, live.name))) == 10:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(CorruptArtefact, match="holds 9 cases, and its manifest says 10"):
        open_generation(store, checkpoint(), catalog=catalog)
    with pytest.raises(CorruptArtefact, match="holds 9 cases, and its manifest says 10"):
        check_content(store, live.name)


@pytest.mark.parametrize("said", [None, "no JSON", "{}", '{"manifest": {"schema": 99}}'])
def test_a_collection_that_does_not_say_what_it_holds_is_listed_as_damaged(
    own: Own, said: str | None
) -> None:
    store, _ = own
    client = connect(store.index_url)
    unfinished = collection.create(store.index_url, "20260101T000000Z", 4)
    client.rename_collection(unfinished, "generation_20260101T000000Z_11111111")
    if said is not None:
        client.alter_collection_properties(
            "generation_20260101T000000Z_11111111", {collection.PROPERTY: said}
        )
    (damaged,) = generations(store)
    assert isinstance(damaged, DamagedGeneration)
    with pytest.raises(CorruptArtefact, match="xemplar reindex"):
        publish(store, damaged.name)
    remove(store, damaged.name)
    assert generations(store) == ()


@pytest.mark.parametrize("step", ["insert", "measured"])
def test_a_build_that_fails_leaves_nothing(
    own: Own, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store, catalog = own
    add(catalog, range(10))

    def fail(*_: Any) -> Any:
        raise KeyboardInterrupt

    where = building if step == "insert" else engine
    monkeypatch.setattr(where, step, fail)
    with pytest.raises(KeyboardInterrupt):
        published(store, catalog, "IVF2,Flat")
    assert connect(store.index_url).list_collections() == []


def test_what_a_killed_build_left_is_deleted_a_day_later(own: Own) -> None:
    store, _ = own
    now = datetime.now(UTC).strftime(engine.STAMP)
    young = collection.create(store.index_url, now, 4)
    collection.create(store.index_url, "20260101T000000Z", 4)
    assert generations(store) == ()
    sweep(store)
    assert connect(store.index_url).list_collections() == [young]


def test_an_index_without_cases_or_with_more_lists_than_cases_is_refused(own: Own) -> None:
    store, catalog = own
    with pytest.raises(NothingIndexed):
        published(store, catalog)
    add(catalog, range(5))
    with pytest.raises(ConfigurationError, match="8 lists for 5 cases"):
        published(store, catalog, "IVF8,Flat")
    assert connect(store.index_url).list_collections() == []


def test_generations_that_may_hold_removed_cases_are_told(own: Own) -> None:
    store, catalog = own
    add(catalog, range(10))
    first = published(store, catalog).name
    add(catalog, range(10, 12))
    gone = np.array([catalog.case(case_id(n)).id for n in (3, 11)], np.int64)
    catalog.remove([case_id(3), case_id(11)])
    assert {name: ids.tolist() for name, ids in held(store, catalog, gone).items()} == {
        first: gone[:1].tolist()  # the other came later
    }
    second = published(store, catalog).name
    assert [len(held(store, catalog, gone)[name]) for name in (first, second)] == [1, 0]


def test_recall_is_measured_for_inverted_lists(own: Own) -> None:
    store, catalog = own
    add(catalog, range(CASES))
    live = published(store, catalog, "IVF16,Flat")
    assert 0.99 <= live.manifest.recall_at_10 <= 1
    (probe,) = live.manifest.probes
    assert (probe.share, probe.recall_at_10) == (1, live.manifest.recall_at_10)
    assert 1 <= probe.nprobe <= 16
    assert not live.manifest.automatic
