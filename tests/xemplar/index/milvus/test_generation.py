"""A generation in Milvus answers as brute force does, and so as one of files does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.xemplar.catalog.test_filters import FINDINGS, described, filters, meets
from tests.xemplar.index.milvus.archive import (
    CASES,
    VECTORS,
    add,
    case_id,
    embeddings,
    published,
)
from tests.xemplar.index.test_search import brute_force
from tests.xemplar.index.vectors import checkpoint, random_vectors
from xemplar.api import CaseFilter
from xemplar.archive.store import Store
from xemplar.catalog import Batch, Catalog
from xemplar.errors import InvalidArgument, NotFound
from xemplar.index import Changes, LiveIndex, Probe, build, open_generation
from xemplar.index.milvus import generation as module
from xemplar.index.milvus.generation import MilvusGeneration
from xemplar.index.recall import ENOUGH

FACTORIES = ("Flat", "IVF8,Flat")

REAL = (module.MOST_LISTED, module.MOST_CANDIDATES)
LIMITS = {"as they are": REAL, "nothing listed": (0, 400), "few at once": (7, 16)}
"""Most cases that an expression lists, and most candidates: the tests' archive is below both."""


@pytest.fixture(scope="module", params=FACTORIES)
def generation(request: pytest.FixtureRequest, store: Store, catalog: Catalog) -> MilvusGeneration:
    if not catalog.count():
        add(catalog, range(CASES))
    opened = published(store, catalog, request.param)
    assert isinstance(opened, MilvusGeneration)
    assert opened.manifest.factory == request.param
    return opened


@pytest.fixture(params=LIMITS)
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, candidates = LIMITS[request.param]
    monkeypatch.setattr(module, "MOST_LISTED", max(listed, 1))
    monkeypatch.setattr(module, "MOST_CANDIDATES", candidates)


fixed = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.usefixtures("limits")
@fixed
@given(data=st.data())
def test_search_equals_brute_force(
    generation: MilvusGeneration, catalog: Catalog, data: st.DataObject
) -> None:
    ids, vectors = embeddings(catalog)
    some = st.lists(st.sampled_from([*map(int, ids), -1, 10**15]), unique=True, max_size=200)
    excluded, among = data.draw(some), data.draw(st.none() | some)
    k = data.draw(st.integers(1, 320))
    query = VECTORS[0] if data.draw(st.booleans()) else random_vectors(1, seed=k)[0]
    # without a filter, an index with inverted lists may miss some: then all of them are searched
    hits = generation.search(
        query, k, excluded, None if among is None else np.int64(among), exact=True
    )
    wanted_ids, wanted = brute_force(
        ids, vectors, query, k, set(excluded), None if among is None else set(among)
    )
    assert hits.ids.tolist() == wanted_ids
    assert hits.similarity.tolist() == wanted
    assert hits.recall_at_10 == 1
    assert (hits.ids.dtype, hits.similarity.dtype) == (np.int64, np.float32)


@pytest.mark.usefixtures("limits")
@fixed
@given(data=st.data())
def test_a_filter_decides_exactly_who_may_appear(
    generation: MilvusGeneration, catalog: Catalog, data: st.DataObject
) -> None:
    """Whatever has become of the cases' metadata since the collection was written."""
    for number in data.draw(st.lists(st.integers(0, CASES - 1), max_size=3)):
        fields = {"sex": data.draw(st.sampled_from(["F", "M", None])), "view": "New view"}
        catalog.describe(case_id(number), fields)
    live = LiveIndex.of(generation, catalog)
    wanted, absent = data.draw(filters()), data.draw(st.none() | st.sampled_from(FINDINGS))
    cases = catalog.cases(live.ids)
    meeting = {number for number, case in cases.items() if meets(case, wanted, absent)}
    mask = live.matching(catalog, wanted, absent)
    condition = live.condition(catalog, wanted, absent)
    # a filter that all meet is none
    options = {"condition": condition, "exact": bool(mask.all())}
    hits = live.search(VECTORS[7], 20, (), live.ids[mask], **options)
    ids, vectors = embeddings(catalog)
    right, _ = brute_force(ids, vectors, VECTORS[7], 20, set(), meeting)
    assert hits.ids.tolist() == right
    assert hits.recall_at_10 == 1


def test_a_search_of_some_lists_states_the_recall_that_was_measured(
    generation: MilvusGeneration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_LISTED", 1)
    measured = generation.manifest.recall_at_10
    some = replace(generation.manifest, probes=(Probe(1.0, 1, 0.5),))
    inverted = generation.manifest.factory != "Flat"
    assert generation.search(VECTORS[0], 10).recall_at_10 == measured
    monkeypatch.setattr(generation, "manifest", some if inverted else generation.manifest)
    assert generation.search(VECTORS[0], 10).recall_at_10 == (0.5 if inverted else 1)
    assert generation.search(VECTORS[0], 10, exact=True).recall_at_10 == 1
    assert generation.search(VECTORS[0], 10, among=generation.ids[1:]).recall_at_10 == 1


def test_lists_are_visited_as_measured_or_all_of_them(
    own: tuple[Store, Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many cases as Milvus builds lists for; with fewer it compares all of them."""
    monkeypatch.setattr(module, "MOST_LISTED", 100)
    store, catalog = own
    vectors, ids = random_vectors(3000), np.arange(1, 3001)
    outputs = np.zeros((3000, 2), np.float32), np.zeros((3000, 2, 1, 1), np.float16)
    batch = Batch(ids, vectors, *outputs)
    made = build(store, checkpoint(), lambda: [batch], catalog=catalog, factory="IVF64,Flat")
    (probe,) = made.probes
    assert 1 <= probe.nprobe <= 64
    assert probe.recall_at_10 >= ENOUGH
    opened = open_generation(store, checkpoint(), made.name, catalog)
    found = 0
    for query in random_vectors(20, seed=5):
        right, scores = brute_force(ids, vectors, query, 10, set())
        hits = opened.search(query, 10, exact=True)
        assert (hits.ids.tolist(), hits.similarity.tolist()) == (right, scores)
        assert hits.recall_at_10 == 1
        some = opened.search(query, 10)
        assert some.recall_at_10 == probe.recall_at_10
        found += len(set(some.ids.tolist()) & set(right))
    assert found >= 0.9 * 200
    monkeypatch.setattr(opened, "manifest", replace(made, probes=(Probe(1.0, 1, 0.5),)))
    assert opened.search(vectors[0], 1).recall_at_10 == 0.5
    # more than one list holds: all are searched
    many = opened.search(vectors[0], 2000)
    assert (len(many.ids), many.recall_at_10) == (2000, 1)


def test_milvus_searches_only_among_those_that_met_the_filter(
    generation: MilvusGeneration, catalog: Catalog
) -> None:
    live = LiveIndex.of(generation, catalog)
    condition = live.condition(catalog, CaseFilter(sex="F", any_of=("Mass",)))
    assert condition is not None
    within = generation._collection.names.expression(condition)
    ids, _ = generation._collection.search(VECTORS[0], CASES, within)
    cases = catalog.cases(map(int, ids))
    changed = set(condition.redescribed)
    assert 0 < len(ids) < CASES / 2
    assert all(
        meets(case, CaseFilter(sex="F", any_of=("Mass",)))
        for number, case in cases.items()
        if number not in changed
    )


def test_outputs_come_from_the_catalog(generation: MilvusGeneration, catalog: Catalog) -> None:
    case = catalog.case(case_id(5)).id
    assert generation.vector(case).tolist() == VECTORS[5].tolist()
    assert generation.logits(case).tolist() == [5, -5]
    assert generation.cams(case).tolist() == described(5).cams.tolist()
    assert generation.cams(case).dtype == np.float32
    with pytest.raises(NotFound, match="not in the index generation"):
        generation.vector(10**9)


@pytest.mark.parametrize(
    ("vector", "k"),
    [(VECTORS[0].astype(np.float64), 1), (VECTORS[0][:4], 1), (2 * VECTORS[0], 1), (VECTORS[0], 0)],
)
def test_a_query_that_is_no_embedding_is_refused(
    generation: MilvusGeneration, vector: np.ndarray, k: int
) -> None:
    with pytest.raises(InvalidArgument):
        generation.search(vector, k)


def test_cases_added_and_removed_since_are_found_and_left_out(
    own: tuple[Store, Catalog],
) -> None:
    store, catalog = own
    add(catalog, range(40))
    live = LiveIndex.of(published(store, catalog), catalog)
    before = live.search(VECTORS[3], 40).ids.tolist()
    live = LiveIndex.of(open_generation(store, checkpoint(), catalog=catalog), catalog)
    for number in (3, 4):
        catalog.remove([case_id(number)])
    add(catalog, range(40, 80))
    # until it hears of that, the index answers as it was built, and knows no maps of theirs
    gone = int(live.ids[3])
    assert live.search(VECTORS[3], 40).ids.tolist() == before
    assert live.vector(gone).tolist() == VECTORS[3].tolist()
    with pytest.raises(NotFound):
        live.cams(gone)
    after = live.updated(catalog)
    assert after.changes == Changes(added=40, removed=2)
    ids, vectors = embeddings(catalog)
    for k in (1, 5, 78, 100):
        hits = after.search(VECTORS[50], k)
        right, scores = brute_force(ids, vectors, VECTORS[50], k, set())
        assert (hits.ids.tolist(), hits.similarity.tolist()) == (right, scores)
    assert len(after) == len(ids) == 78
