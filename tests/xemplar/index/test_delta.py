"""A generation with changes answers as one that was built anew, and no query sees half a change."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xemplar.index.test_search import brute_force, opened
from tests.xemplar.index.vectors import checkpoint, random_vectors, source
from xemplar.api import CaseFilter
from xemplar.archive.store import Store
from xemplar.catalog import (
    Access,
    Catalog,
    Description,
    Entry,
    FilterColumns,
    case_id_of,
    migrate,
    open_catalog,
)
from xemplar.errors import NotFound, UnknownFinding
from xemplar.index import Changes, Generation, LiveIndex, build, open_generation

DIGEST = checkpoint().digest


def entry(number: int, vector: npt.NDArray[np.float32]) -> Entry:
    return Entry(
        image_sha256=f"{number:016x}".ljust(64, "0"),
        description=Description(source="set", file=f"{number}.png"),
        height=96,
        width=80,
        vector=vector,
        logits=np.float32([number, -number]),
        cams=np.full((2, 2, 2), number % 100, np.float32),
    )


def case_id(number: int) -> str:
    return case_id_of(f"{number:016x}".ljust(64, "0"))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    url = Store(tmp_path / "store").database_url
    migrate(url)
    with open_catalog(url) as opened_one:
        yield opened_one


def published(store: Store, catalog: Catalog) -> Generation:
    manifest = build(store, checkpoint(), lambda: catalog.vectors(DIGEST))
    return open_generation(store, checkpoint(), manifest.name)


@given(data=st.data())
def test_search_equals_brute_force_over_what_is_there(data: st.DataObject) -> None:
    """Few distinct vectors, so that ties cross from the generation to what came since."""
    count = data.draw(st.integers(1, 60), label="count")
    distinct = data.draw(st.integers(1, count), label="distinct vectors")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    vectors = random_vectors(distinct, seed=distinct)[rng.integers(0, distinct, count)]
    ids = np.sort(rng.choice(10 * count, count, replace=False)).astype(np.int64)
    late = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    if late.all():
        late[0] = False
    some_ids = st.lists(st.sampled_from([*map(int, ids), -1, 10**6]), unique=True)
    removed, excluded = data.draw(some_ids, label="removed"), data.draw(some_ids, label="excluded")
    among = data.draw(st.none() | some_ids.map(sorted), label="among")
    k = data.draw(st.integers(1, 70), label="k")
    query = vectors[-1] if data.draw(st.booleans()) else random_vectors(1, seed=k)[0]
    (added,) = source(ids[late], vectors[late], size=count)() if late.any() else (None,)
    with tempfile.TemporaryDirectory() as folder:
        amended = LiveIndex(opened(Store(Path(folder)), ids[~late], vectors[~late]), added, removed)
        hits = amended.search(query, k, excluded, None if among is None else np.int64(among))
    gone = {number for number in removed if number in ids[~late]}
    here = set(map(int, ids)) - gone
    allowed = here - set(excluded) if among is None else (here - set(excluded)) & set(among)
    wanted_ids, wanted = brute_force(ids, vectors, query, k, set(map(int, ids)) - allowed)
    assert hits.ids.tolist() == wanted_ids
    assert hits.similarity.tolist() == wanted
    assert (hits.ids.dtype, hits.similarity.dtype) == (np.int64, np.float32)
    assert amended.ids.tolist() == sorted(here)
    assert len(amended) == len(here)
    assert all((number in amended) == (number in here) for number in [*map(int, ids), -1, 10**6])


@settings(max_examples=settings().max_examples // 6)
@given(steps=st.lists(st.sampled_from(["add", "remove", "publish", "old case"]), max_size=8))
def test_following_a_catalog_equals_building_anew(steps: list[str]) -> None:
    vectors = random_vectors(100)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        migrate(store.database_url)
        with open_catalog(store.database_url) as catalog:
            catalog.add(DIGEST, [entry(n, vectors[n]) for n in range(1, 6)])
            catalog.add("f" * 64, [entry(n, vectors[n]) for n in range(6, 9)])
            there, other, new = set(range(1, 6)), set(range(6, 9)), iter(range(10, 90))
            amended = LiveIndex.of(published(store, catalog), catalog)
            for place, step in enumerate(steps):
                if step == "add":
                    there.add(number := next(new))
                    catalog.add(DIGEST, [entry(number, vectors[number])])
                elif step == "old case" and other:
                    there.add(number := other.pop())
                    catalog.add(DIGEST, [entry(number, vectors[number])])
                elif step == "remove" and len(there) > 1:
                    catalog.remove([case_id(there.pop())])
                elif step == "publish":
                    amended = LiveIndex.of(published(store, catalog), catalog)
                amended = amended.updated(catalog)
                # elsewhere: a store names one generation a second, and would wait for the next
                anew = published(Store(Path(folder, f"anew-{place}")), catalog)
                assert amended.ids.tolist() == anew.ids.tolist()
                for query in vectors[::9]:
                    one, two = amended.search(query, 4), anew.search(query, 4)
                    assert one.ids.tolist() == two.ids.tolist()
                    assert one.similarity.tolist() == two.similarity.tolist()
                for number in map(int, anew.ids):
                    for what in ("vector", "logits", "cams"):
                        given_back = getattr(amended, what)(number)
                        np.testing.assert_array_equal(given_back, getattr(anew, what)(number))
                        assert given_back.dtype == np.float32


def test_a_change_is_seen_only_by_who_asks_after_it(tmp_path: Path, catalog: Catalog) -> None:
    vectors = random_vectors(20)
    catalog.add(DIGEST, [entry(n, vectors[n]) for n in range(1, 6)])
    before = LiveIndex.of(published(Store(tmp_path / "store"), catalog), catalog)
    assert before.updated(catalog) is before
    catalog.add(DIGEST, [entry(10, vectors[10])])
    catalog.remove([case_id(1), case_id(2)])
    after = before.updated(catalog)
    assert before.search(vectors[10], 1).similarity[0] < 1
    assert after.search(vectors[10], 1).ids[0] == 6
    assert (len(before), len(after)) == (5, 4)
    assert (before.changes, after.changes) == (Changes(0, 0), Changes(1, 2))
    assert after.name == before.name
    for ask in (after.vector, after.logits, after.cams):
        with pytest.raises(NotFound, match="case 1 is not in"):
            ask(1)


def test_a_case_that_came_and_went_leaves_no_trace(tmp_path: Path, catalog: Catalog) -> None:
    vectors = random_vectors(20)
    catalog.add(DIGEST, [entry(n, vectors[n]) for n in range(1, 6)])
    amended = LiveIndex.of(published(Store(tmp_path / "store"), catalog), catalog)
    catalog.add(DIGEST, [entry(10, vectors[10])])
    amended = amended.updated(catalog)
    catalog.remove([case_id(10)])
    assert 6 in amended
    assert amended.updated(catalog).changes == Changes(0, 0)


def test_only_new_cases_are_read(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = random_vectors(20)
    catalog.add(DIGEST, [entry(n, vectors[n]) for n in range(1, 6)])
    amended = LiveIndex.of(published(Store(tmp_path / "store"), catalog), catalog)
    asked: list[list[int]] = []
    read = catalog.vectors_of
    monkeypatch.setattr(
        catalog, "vectors_of", lambda digest, ids: asked.append(ids) or read(digest, ids)
    )
    for number in (10, 11):
        catalog.add(DIGEST, [entry(number, vectors[number])])
        amended = amended.updated(catalog)
    amended.updated(catalog)
    assert asked == [[6], [7]]


def test_queries_go_on_while_cases_come_and_go(tmp_path: Path, catalog: Catalog) -> None:
    """Each answer is the right one for some moment between its beginning and its end."""
    vectors = random_vectors(60)
    catalog.add(DIGEST, [entry(n, vectors[n]) for n in range(1, 21)])
    holder = [LiveIndex.of(published(Store(tmp_path / "store"), catalog), catalog)]

    def ask(number: int) -> bool:
        amended = holder[0]
        hits = amended.search(vectors[number % 60], 5)
        return len(hits.ids) == 5 and all(int(n) in amended for n in hits.ids)

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, number) for number in range(300)]
        for number in range(21, 60):
            catalog.add(DIGEST, [entry(number, vectors[number])])
            catalog.remove([case_id(number - 20)])
            holder[0] = holder[0].updated(catalog)
        assert all(answer.result() for answer in asked)


def test_a_filter_selects_by_the_metadata_of_now(tmp_path: Path, catalog: Catalog) -> None:
    """Before the index is updated, and of the cases that it holds alone."""
    vectors = random_vectors(20)
    catalog.add(DIGEST, [entry(n, vectors[n]) for n in range(1, 6)])
    index = LiveIndex.of(published(Store(tmp_path / "store"), catalog), catalog)
    women = CaseFilter(sex="F")

    def found(index: LiveIndex) -> list[int]:
        return index.ids[index.matching(catalog, women)].tolist()

    assert found(index) == []
    catalog.describe(case_id(2), {"sex": "F"})
    catalog.describe(case_id(3), {"sex": "F"})
    catalog.add(DIGEST, [entry(10, vectors[10])])
    catalog.describe(case_id(10), {"sex": "F"})
    catalog.remove([case_id(3)])
    assert found(index) == [2]
    assert found(index.updated(catalog)) == [2, 6]
    assert found(LiveIndex(index.generation)) == [2]
    elsewhere = catalog.bound(Access(sources=frozenset({"elsewhere"})))
    assert not index.matching(elsewhere, CaseFilter()).any()
    with pytest.raises(UnknownFinding, match="Gout"):
        index.matching(catalog, CaseFilter(any_of=("Gout",)))


def test_a_sample_is_of_the_cases_that_the_caller_can_see(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xemplar.index.delta.SAMPLE", 3)
    store, vectors = Store(tmp_path / "store"), random_vectors(7)
    catalog.add(DIGEST, [entry(number, vectors[number]) for number in range(7)])
    index = LiveIndex.of(published(store, catalog), catalog)
    assert np.array_equal(index.sample(catalog), vectors[::3])
    nobody = catalog.bound(Access(sources=frozenset({"elsewhere"})))
    assert index.sample(nobody).shape == (0, vectors.shape[1])
    assert len(index.sample(catalog)) == 3


def test_columns_of_filters_are_read_when_needed_and_by_one_index_for_the_next(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service is ready before they are read, and does not read them for each generation."""
    store, vectors = Store(tmp_path / "store"), random_vectors(6)
    for number in range(4):
        catalog.add(DIGEST, [entry(number, vectors[number])])
    reads, read = [0], FilterColumns.read

    def counted(of: Catalog, ids: npt.NDArray[np.int64]) -> FilterColumns:
        reads[0] += 1
        return read(of, ids)

    monkeypatch.setattr(FilterColumns, "read", counted)
    first = LiveIndex.of(published(store, catalog), catalog)
    catalog.add(DIGEST, [entry(4, vectors[4])])
    first = first.updated(catalog)
    assert reads == [0]
    first.read_columns(catalog)
    assert first.matching(catalog, CaseFilter(source=("set",))).sum() == 5
    catalog.add(DIGEST, [entry(5, vectors[5])])
    second = LiveIndex.of(published(store, catalog), catalog, first)
    for index, count in ((second, 6), (first, 5)):
        assert index.matching(catalog, CaseFilter(source=("set",))).sum() == count
        assert index.matching(catalog, CaseFilter(source=("other",))).sum() == 0
    assert reads == [1]
