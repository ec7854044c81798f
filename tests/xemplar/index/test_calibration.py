"""What a cosine is worth: kept in the manifest, refused where it does not belong."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from tests.xemplar.index.vectors import checkpoint, random_vectors, source
from xemplar.archive.store import Store
from xemplar.errors import CorruptArtefact, Mismatch
from xemplar.index import SimilarityCalibration, build, read_manifest

CURVE = SimilarityCalibration("1" * 64, "nih14", 5, 50, (0.2, 0.6, 0.8), (0.1, 0.1, 0.5))


def test_the_chance_lies_on_the_curve_and_stays_beyond_its_ends() -> None:
    # between 0.6 and 0.8 it rises from 0.1 to 0.5: at 0.7 half of that
    assert CURVE.chance_of(0.7) == pytest.approx(0.3)
    assert CURVE.chance_of(0.4) == pytest.approx(0.1)
    assert (CURVE.chance_of(0), CURVE.chance_of(1)) == (0.1, 0.5)


@pytest.mark.parametrize(
    ("similarity", "chance"),
    [
        ((0.5,), (0.1,)),
        ((0.5, 0.4), (0.1, 0.2)),
        ((0.4, 0.5), (0.2, 0.1)),
        ((0.4, 0.5), (0.2, 1.1)),
        ((0.4, 0.5), (0.2,)),
        ((0.4, float("nan")), (0.2, 0.3)),
    ],
)
def test_an_impossible_curve_is_refused(
    similarity: tuple[float, ...], chance: tuple[float, ...]
) -> None:
    with pytest.raises(CorruptArtefact, match="evaluate"):
        replace(CURVE, similarity=similarity, chance=chance)


@pytest.mark.parametrize("change", [{"similarity": "much"}, {"more": 1}, {"chance": None}])
def test_fields_that_are_no_calibration_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(CorruptArtefact, match="cannot be read"):
        SimilarityCalibration.from_dict({**asdict(CURVE), **change})


def test_it_comes_back_from_the_manifest_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    vectors = source(np.arange(1, 6), random_vectors(5))
    manifest = build(store, checkpoint(), vectors, calibration=CURVE)
    assert read_manifest(store.generations / manifest.name).calibration == CURVE


def test_a_damaged_one_makes_the_manifest_unreadable(tmp_path: Path) -> None:
    store = Store(tmp_path)
    vectors = source(np.arange(1, 6), random_vectors(5))
    name = build(store, checkpoint(), vectors, calibration=CURVE).name
    path = store.generations / name / "manifest.json"
    path.write_text(path.read_text().replace("0.8", "0.1"))
    with pytest.raises(CorruptArtefact, match="ascend"):
        read_manifest(path.parent)
    fields = json.loads(path.read_text())
    del fields["calibration"]["images"]
    path.write_text(json.dumps(fields))
    with pytest.raises(CorruptArtefact, match="cannot be read"):
        read_manifest(path.parent)


def test_another_checkpoints_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    vectors = source(np.arange(1, 6), random_vectors(5))
    with pytest.raises(Mismatch, match="measured with checkpoint 111111111111"):
        build(store, checkpoint("2" * 64), vectors, calibration=CURVE)
    assert not store.generations.exists()
