"""Search equals brute force, whatever is left out, also from many threads."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xemplar.index.vectors import SIZE, checkpoint, random_vectors, source, unit
from xemplar.archive.store import Store
from xemplar.errors import InvalidArgument, NotFound
from xemplar.index import Generation, Probe, build, open_generation, publish


def opened(
    store: Store,
    ids: npt.NDArray[np.int64],
    vectors: npt.NDArray[np.float32],
    factory: str = "auto",
) -> Generation:
    manifest = build(store, checkpoint(), source(ids, vectors), factory=factory)
    publish(store, manifest.name)
    return open_generation(store, checkpoint())


def brute_force(
    ids: npt.NDArray[np.int64],
    vectors: npt.NDArray[np.float32],
    query: npt.NDArray[np.float32],
    k: int,
    exclude: set[int],
    among: set[int] | None = None,
) -> tuple[list[int], list[float]]:
    scores = np.clip((vectors.astype(np.float64) * query).sum(axis=1), 0, 1).astype(np.float32)
    ranked = sorted((-float(s), int(i)) for s, i in zip(scores, ids, strict=True))
    allowed = [(i, -s) for s, i in ranked if i not in exclude]
    kept = [(i, s) for i, s in allowed if among is None or i in among][:k]
    return [i for i, _ in kept], [s for _, s in kept]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_search_equals_brute_force(data: st.DataObject) -> None:
    """Few distinct vectors, so that ties and duplicates are common."""
    count = data.draw(st.integers(1, 80), label="count")
    distinct = data.draw(st.integers(1, count), label="distinct vectors")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    vectors = random_vectors(distinct, seed=distinct)[rng.integers(0, distinct, count)]
    ids = np.sort(rng.choice(10 * count, count, replace=False)).astype(np.int64)
    exclude = set(data.draw(st.lists(st.sampled_from([*map(int, ids), -1, 10**15]))))
    among = data.draw(
        st.none() | st.lists(st.sampled_from([*map(int, ids), 10**15]), unique=True), label="among"
    )
    k = data.draw(st.integers(1, 100), label="k")
    query = vectors[0] if data.draw(st.booleans()) else random_vectors(1, seed=k)[0]
    with tempfile.TemporaryDirectory() as folder:
        generation = opened(Store(Path(folder)), ids, vectors)
        allowed = None if among is None else np.array(among, np.int64)
        hits = generation.search(query, k, exclude, allowed)
    wanted_ids, wanted = brute_force(
        ids, vectors, query, k, exclude, None if among is None else set(among)
    )
    assert hits.ids.tolist() == wanted_ids
    assert hits.similarity.tolist() == wanted
    assert hits.ids.dtype == np.int64
    assert hits.similarity.dtype == np.float32


def test_inverted_lists_leave_out_too(tmp_path: Path) -> None:
    ids, vectors = np.arange(5, 405, dtype=np.int64), random_vectors(400)
    generation = opened(Store(tmp_path), ids, vectors, "IVF4,SQ8")
    assert generation.manifest.recall_at_10 >= 0.95
    assert generation.manifest.factory == "IVF4,SQ8"
    exclude = {int(i) for i in ids[::2]}
    found = wanted = 0
    for query in vectors[:20]:
        hits = generation.search(query, 10, exclude)
        assert not exclude & set(hits.ids.tolist())
        assert (np.diff(hits.similarity) <= 0).all()
        exact, _ = brute_force(ids, vectors, query, 10, exclude)
        found, wanted = found + len(set(exact) & set(hits.ids.tolist())), wanted + len(exact)
    assert found / wanted > 0.9
    np.testing.assert_array_equal(generation.vector(9), vectors[4])


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """Number of matching cases up to which all are compared, small enough for small indexes."""
    monkeypatch.setattr("xemplar.index.recall.FEW", 16)
    return 16


def probing_one_list(generation: Generation) -> Generation:
    """As if one list had been measured to be enough, so that an approximate search misses cases."""
    probes = tuple(replace(one, nprobe=1) for one in generation.manifest.probes)
    files, vectors, lists = generation._files, generation._vectors, generation._inverted
    return Generation(replace(generation.manifest, probes=probes), files, vectors, lists)


@pytest.mark.parametrize("exact", [False, True])
def test_among_a_few_cases_and_on_request_all_are_compared(
    tmp_path: Path, few: int, exact: bool
) -> None:
    """A rare kind of case lies in any list."""
    ids, vectors = np.arange(5, 405, dtype=np.int64), random_vectors(400)
    generation = probing_one_list(opened(Store(tmp_path), ids, vectors, "IVF8,SQ8"))
    among = None if exact else ids[:: len(ids) // few]
    kept = None if exact else set(map(int, among[:few]))
    for query in random_vectors(20, seed=1):
        hits = generation.search(query, 10, {5, 55}, kept and among[:few], exact=exact)
        wanted, _ = brute_force(ids, vectors, query, 10, {5, 55}, kept)
        assert hits.ids.tolist() == wanted
        assert hits.recall_at_10 == 1.0


@pytest.mark.parametrize("share", [0.9, 0.4, 0.1])
def test_a_filter_decides_who_may_appear_in_inverted_lists(
    tmp_path: Path, few: int, share: float
) -> None:
    ids, vectors = np.arange(5, 1605, dtype=np.int64), random_vectors(1600)
    generation = opened(Store(tmp_path), ids, vectors, "IVF16,SQ8")
    among = np.sort(np.random.default_rng(0).choice(ids, int(share * len(ids)), replace=False))
    kept, found = set(map(int, among)), 0
    for query in random_vectors(20, seed=1):
        hits = generation.search(query, 10, {5, 45}, among)
        exact, _ = brute_force(ids, vectors, query, 10, {5, 45}, kept)
        assert len(hits.ids) == 10
        assert set(map(int, hits.ids)) <= kept - {5, 45}
        found += len(set(exact) & set(map(int, hits.ids)))
    assert found / 200 > 0.9


@pytest.mark.parametrize("share", [0.4, 0.1])
def test_no_answer_is_short_even_among_the_cases_least_like_the_query(
    tmp_path: Path, few: int, share: float
) -> None:
    ids, vectors = np.arange(5, 1605, dtype=np.int64), random_vectors(1600)
    generation = opened(Store(tmp_path), ids, vectors, "IVF16,SQ8")
    for query in random_vectors(20, seed=1):
        among = np.sort(ids[np.argsort(vectors @ query)[: int(share * len(ids))]])
        hits = generation.search(query, 100, {5, 45}, among)
        assert len(hits.ids) == 100
        assert set(map(int, hits.ids)) <= {*map(int, among)} - {5, 45}


def test_lists_that_hold_too_few_matching_cases_are_not_the_end(tmp_path: Path, few: int) -> None:
    ids, vectors = np.arange(400, dtype=np.int64), random_vectors(400)
    generation = probing_one_list(opened(Store(tmp_path), ids, vectors, "IVF16,SQ8"))
    for query in random_vectors(10, seed=1):
        among = np.sort(ids[np.argsort(vectors @ query)[: few + 24]])
        hits = generation.search(query, 40, (), among)
        assert (
            hits.ids.tolist() == brute_force(ids, vectors, query, 40, set(), {*map(int, among)})[0]
        )


def test_the_recall_said_is_the_one_measured_for_such_a_share(tmp_path: Path, few: int) -> None:
    ids, vectors = np.arange(400, dtype=np.int64), random_vectors(400)
    generation = opened(Store(tmp_path), ids, vectors, "IVF16,SQ8")
    probes = (Probe(1.0, 16, 0.97), Probe(0.5, 16, 0.96), Probe(few / 400, 16, 0.95))
    told = replace(generation.manifest, probes=probes)
    stated = Generation(told, generation._files, vectors, generation._inverted)
    for count, recall in ((400, 0.97), (399, 0.96), (200, 0.96), (199, 0.95), (few, 0.95), (15, 1)):
        assert stated.search(vectors[0], 1, (), ids[:count]).recall_at_10 == recall
    assert stated.search(vectors[0], 1, {1, 2}).recall_at_10 == 0.97, "exclusions are no filter"


def test_probing_every_list_is_exact(tmp_path: Path) -> None:
    """Vectors without any structure need every list: the job finds that out by measuring."""
    ids, vectors = np.arange(64, dtype=np.int64), unit(np.eye(SIZE)[np.arange(64) % SIZE] + 0.01)
    generation = opened(Store(tmp_path), ids, vectors, "IVF2,SQ8")
    assert all(one.nprobe <= 2 for one in generation.manifest.probes)


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_ids_may_have_gaps(tmp_path: Path, step: int) -> None:
    ids, vectors = np.arange(7, 7 + 50 * step, step, dtype=np.int64), random_vectors(50)
    generation = opened(Store(tmp_path), ids, vectors)
    among = np.array([-5, 0, 6, *ids[::2], ids[-1] + 1, 10**15], np.int64)
    hits = generation.search(vectors[0], 100, {int(ids[0]), 8}, among)
    assert sorted(hits.ids.tolist()) == ids[2::2].tolist()


def test_each_case_gives_back_what_belongs_to_it(tmp_path: Path) -> None:
    ids, vectors = np.array([3, 8, 21], np.int64), random_vectors(3)
    generation = opened(Store(tmp_path), ids, vectors)
    assert len(generation) == 3
    assert 8 in generation
    assert 9 not in generation
    np.testing.assert_array_equal(generation.ids, ids)
    for case, vector in zip(ids, vectors, strict=True):
        np.testing.assert_array_equal(generation.vector(case), vector)
        np.testing.assert_array_equal(generation.logits(case), np.float32([case, -case]))
        np.testing.assert_array_equal(generation.cams(case), np.full((2, 2, 2), case, np.float32))
    assert generation.cams(3).dtype == np.float32
    for ask in (generation.vector, generation.logits, generation.cams):
        for missing in (-1, 4, 99):
            with pytest.raises(NotFound, match=f"case {missing} is not in"):
                ask(missing)


def test_leaving_everything_out_leaves_nothing(tmp_path: Path) -> None:
    ids = np.arange(3, dtype=np.int64)
    hits = opened(Store(tmp_path), ids, random_vectors(3)).search(
        random_vectors(1)[0], 5, [0, 1, 2]
    )
    assert (hits.ids.shape, hits.similarity.shape) == ((0,), (0,))


@pytest.mark.parametrize(
    ("embedding", "k", "message"),
    [
        (random_vectors(1), 1, r"float32 \(8,\), not"),
        (random_vectors(1)[0].astype(np.float64), 1, "not float64"),
        (random_vectors(1)[0] * 2, 1, "length 2 instead of 1"),
        (np.zeros(SIZE, np.float32), 1, "length 0 instead of 1"),
        (np.full(SIZE, np.nan, np.float32), 1, "length nan"),
        (random_vectors(1)[0], 0, "k is 0"),
    ],
)
def test_bad_questions_are_refused(
    tmp_path: Path, embedding: npt.NDArray[np.float32], k: int, message: str
) -> None:
    generation = opened(Store(tmp_path), np.arange(3, dtype=np.int64), random_vectors(3))
    with pytest.raises(InvalidArgument, match=message):
        generation.search(embedding, k)


@pytest.mark.parametrize("factory", ["Flat", "IVF4,SQ8"])
def test_threads_do_not_disturb_each_other(tmp_path: Path, factory: str) -> None:
    ids, vectors = np.arange(300, dtype=np.int64), random_vectors(300)
    generation = opened(Store(tmp_path), ids, vectors, factory)

    def ask(number: int) -> list[int]:
        exclude = [number, (number * 7) % 300]
        return generation.search(vectors[number], 1 + number % 9, exclude).ids.tolist()

    alone = [ask(number) for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(200))) == alone
