"""Search effort is measured for each share of cases that a filter may keep."""

from pathlib import Path

import numpy as np
import pytest

from tests.xemplar.index.vectors import unit
from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.index.exact import candidates, margin, nearest, ranked
from xemplar.index.inverted import InvertedFile
from xemplar.index.recall import ENOUGH, K, measure_probes, recall_of

COUNT, SIZE = 2_000, 16
LISTS = 40


@pytest.fixture
def vectors() -> np.ndarray:
    """Points around a few centres, so that lists differ."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, SIZE)).repeat(COUNT // 20, axis=0)
    return unit(centres + rng.normal(size=(COUNT, SIZE)))


def test_shares_halve_down_to_a_few_cases(
    vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xemplar.index.recall.FEW", 100)
    inverted = InvertedFile.build(vectors, f"IVF{LISTS},SQ8")
    probes = measure_probes(inverted, vectors, vectors[:, :3])
    assert [one.share for one in probes] == [1, 0.5, 0.25, 0.125, 0.05]
    efforts = [one.nprobe for one in probes]
    assert efforts == sorted(efforts), "a rarer case takes no less effort"
    assert 1 < efforts[-1] <= LISTS
    for one in probes:
        assert one.recall_at_10 >= ENOUGH or one.nprobe == LISTS


def test_small_indexes_are_measured_without_filters_only(vectors: np.ndarray) -> None:
    inverted = InvertedFile.build(vectors, f"IVF{LISTS},SQ8")
    (probe,) = measure_probes(inverted, vectors, vectors[:, :3])
    own = np.arange(0, COUNT, 10)
    truth = nearest(vectors, vectors[own], K + 1)
    rows = inverted.candidates(vectors[own], K + 1, probe.nprobe)
    found = [ranked(vectors, row, vectors[i], K + 1)[0] for i, row in zip(own, rows, strict=True)]
    assert recall_of(own, truth, found) == pytest.approx(probe.recall_at_10, abs=0.02)


def test_recall_leaves_out_the_query_itself_and_counts_what_there_is() -> None:
    own, truth = np.array([0, 5]), np.array([[0, 1, 2, -1], [7, 5, 6, -1]])
    assert recall_of(own, truth, [np.array([0, 1, 2]), np.array([5, 6, 7])]) == 1.0
    assert recall_of(own, truth, [np.array([0, 1, 9]), np.array([5, 8, 9])]) == 0.25
    assert recall_of(own, np.full((2, 4), -1), [np.array([0]), np.array([5])]) == 1.0


@pytest.mark.parametrize("share", [None, 0.5, 0.02])
def test_candidates_hold_the_nearest_and_all_ties(vectors: np.ndarray, share: float | None) -> None:
    twice = np.concatenate([vectors, vectors])
    allowed = None if share is None else np.random.default_rng(1).random(2 * COUNT) < share
    scores = twice.astype(np.float64) @ vectors[3].astype(np.float64)
    scores[~allowed if allowed is not None else []] = -2
    for k in (1, 7, 30):
        least = np.sort(scores)[-k]
        wanted = np.flatnonzero(scores >= least)
        rows = candidates(twice, vectors[3], k, allowed)
        assert set(wanted) <= set(rows)
        assert (scores[rows] >= least - 2 * margin(SIZE)).all()


@pytest.mark.parametrize(("code", "count"), [("SQ8", 220), ("PQ4x4fs", 440)])
def test_lists_of_projected_vectors_find_candidates_too(
    vectors: np.ndarray, tmp_path: Path, code: str, count: int
) -> None:
    """Inner products keep their order: nothing is subtracted, though the mean is not zero."""
    stretched = unit((vectors + 1) * np.linspace(2, 0.1, SIZE))
    factory, own = f"PCA8,IVF{LISTS},{code}", np.arange(0, COUNT, 20)
    InvertedFile.build(stretched, factory).write(tmp_path / "ivf.faiss")
    inverted = InvertedFile.open(tmp_path / "ivf.faiss", factory, stretched.shape)
    truth = nearest(stretched, stretched[own], K + 1)
    allowed = np.arange(COUNT) % 2 == 0
    rows = inverted.candidates(stretched[own], K + 1, LISTS)
    assert rows.shape == (len(own), count)
    found = [
        ranked(stretched, one, stretched[i], K + 1)[0] for i, one in zip(own, rows, strict=True)
    ]
    assert recall_of(own, truth, found) > 0.95
    assert not (inverted.candidates(stretched[own], K, LISTS, allowed) % 2).any()


@pytest.mark.parametrize("factory", ["PCA16,IVF4,SQ8", "PCA17,IVF4,SQ8", "PCA8,IVF2001,SQ8"])
def test_lists_that_do_not_suit_the_vectors_are_refused(vectors: np.ndarray, factory: str) -> None:
    with pytest.raises(ConfigurationError, match="does not suit 2,000 vectors of 16 numbers"):
        InvertedFile.build(vectors, factory)


@pytest.mark.parametrize("factory", ["PCA8,IVF4,SQ8", "IVF5,SQ8"])
def test_other_lists_than_the_manifest_says_are_refused(
    vectors: np.ndarray, tmp_path: Path, factory: str
) -> None:
    InvertedFile.build(vectors, "IVF4,SQ8").write(tmp_path / "ivf.faiss")
    with pytest.raises(CorruptArtefact, match=r"ivf\.faiss has .* not those of .*xemplar reindex"):
        InvertedFile.open(tmp_path / "ivf.faiss", factory, vectors.shape)
