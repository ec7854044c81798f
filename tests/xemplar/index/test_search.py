"""Search equals brute force, whatever is left out, also from many threads and beside torch."""

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
from xemplar.index import Generation, build, open_generation, publish


def opened(
    store: Store,
    ids: npt.NDArray[np.int64],
    vectors: npt.NDArray[np.float32],
    factory: str = "IDMap2,Flat",
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


@pytest.mark.parametrize("factory", ["IVF4,Flat", "IDMap2,IVF4,Flat", "IDMap2,HNSW16"])
def test_approximate_indexes_leave_out_too(tmp_path: Path, factory: str) -> None:
    ids, vectors = np.arange(5, 405, dtype=np.int64), random_vectors(400)
    generation = opened(Store(tmp_path), ids, vectors, factory)
    assert generation.manifest.recall_at_10 >= 0.95
    assert (generation.manifest.nprobe > 0) == ("IVF" in factory)
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


@pytest.mark.parametrize("factory", ["IVF8,Flat", "IDMap2,IVF8,Flat"])
def test_inverted_lists_are_searched_exactly_among_given_cases(
    tmp_path: Path, factory: str
) -> None:
    """A rare kind of case lies in any list, so all are looked into."""
    ids, vectors = np.arange(5, 405, dtype=np.int64), random_vectors(400)
    generation = opened(Store(tmp_path), ids, vectors, factory)
    few = replace(generation.manifest, nprobe=1)
    probing_one = Generation(few, generation._index, ids, np.empty((400, 2)), np.empty((400, 2)))
    among = ids[::40]
    for query in random_vectors(20, seed=1):
        hits = probing_one.search(query, 10, {5, 45}, among)
        exact, _ = brute_force(ids, vectors, query, 10, {5, 45}, set(map(int, among)))
        assert hits.ids.tolist() == exact
        assert len(exact) == 8


def test_probing_every_list_is_exact(tmp_path: Path) -> None:
    """Vectors without any structure need every list: the job finds that out by measuring."""
    ids, vectors = np.arange(64, dtype=np.int64), unit(np.eye(SIZE)[np.arange(64) % SIZE] + 0.01)
    generation = opened(Store(tmp_path), ids, vectors, "IVF2,Flat")
    assert generation.manifest.nprobe <= 2


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


@pytest.mark.parametrize("factory", ["IDMap2,Flat", "IVF4,Flat"])
def test_threads_do_not_disturb_each_other(tmp_path: Path, factory: str) -> None:
    ids, vectors = np.arange(300, dtype=np.int64), random_vectors(300)
    generation = opened(Store(tmp_path), ids, vectors, factory)

    def ask(number: int) -> list[int]:
        exclude = [number, (number * 7) % 300]
        return generation.search(vectors[number], 1 + number % 9, exclude).ids.tolist()

    alone = [ask(number) for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(200))) == alone


def test_torch_and_faiss_work_in_one_process(tmp_path: Path) -> None:
    """Each brings an OpenMP of its own."""
    import torch

    ids, vectors = np.arange(300, dtype=np.int64), random_vectors(300)
    before = torch.ones(256, 256) @ torch.ones(256, 256)
    generation = opened(Store(tmp_path), ids, vectors, "IDMap2,IVF4,Flat")

    def both(number: int) -> int:
        assert torch.equal(torch.ones(256, 256) @ torch.ones(256, 256), before)
        return int(generation.search(vectors[number], 1).ids[0])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(both, range(100))) == list(range(100))
