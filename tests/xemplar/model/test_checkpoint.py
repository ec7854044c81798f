"""Checkpoints: self-describing, without code, rejected if damaged or inconsistent."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import expit

from tests.images import PLAIN, TINY, seeded_weights
from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.calibration import Calibration, Population
from xemplar.model.checkpoint import Card, Checkpoint, load, save
from xemplar.model.densenet import PROJECTION, Architecture, Weights

FINDINGS = ("Edema", "Mass")
CARD = Card(
    FINDINGS,
    PreprocessSpec(64, "pad", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    TINY,
    (Calibration(1.5, -0.5, 0.4, 0.05, 70, 9), Calibration(0.8, 0.1, None, 0.2, 30, 4)),
    Population("ours", images=165, labelled=1500, ill=0.5),
    training={"seed": 1, "datasets": {"ours": "ab12"}},
    metrics={"val_auc": 0.81},
)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return seeded_weights(TINY, len(FINDINGS))


def test_a_card_survives_a_round_trip(tmp_path: Path, weights: Weights) -> None:
    save(tmp_path / "checkpoint", CARD, weights)
    assert load(tmp_path / "checkpoint").card == CARD


def test_the_digest_is_the_sha256_of_the_file(tmp_path: Path, weights: Weights) -> None:
    path = tmp_path / "checkpoint"
    written = save(path, CARD, weights)
    assert written == load(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_content_gives_the_same_digest(tmp_path: Path, weights: Weights) -> None:
    assert save(tmp_path / "one", CARD, weights) == save(tmp_path / "other", CARD, weights)
    other = replace(CARD, metrics={"val_auc": 0.82})
    assert save(tmp_path / "third", other, weights) != save(tmp_path / "one", CARD, weights)


def test_convolutions_keep_half_precision_and_everything_else_keeps_all(
    tmp_path: Path, weights: Weights
) -> None:
    save(tmp_path / "checkpoint", CARD, weights)
    loaded = load(tmp_path / "checkpoint").weights
    assert loaded.keys() == weights.keys()
    assert {value.dtype for value in loaded.values()} == {np.dtype(np.float32)}
    for name, value in weights.items():
        wanted = value.astype(np.float16).astype(np.float32) if value.ndim > 1 else value
        np.testing.assert_array_equal(loaded[name], wanted, err_msg=name)


def test_a_card_without_calibration_has_the_raw_sigmoid() -> None:
    assert Card(FINDINGS).calibration == (Calibration(1, 0, 0.5),) * 2


@pytest.mark.parametrize("calibrations", [1, 3])
def test_a_card_whose_calibrations_do_not_fit_its_findings_is_rejected(calibrations: int) -> None:
    with pytest.raises(CorruptArtefact, match=f"2 findings and {calibrations} calibrations"):
        Card(FINDINGS, calibration=(Calibration(),) * calibrations)


def test_a_card_without_findings_is_rejected() -> None:
    with pytest.raises(CorruptArtefact, match="0 findings"):
        Card(())


# ---- Probabilities ------------------------------------------------------------------------------


@given(logits=st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=2))
def test_probabilities_are_the_calibrated_sigmoid(logits: list[float]) -> None:
    checkpoint = Checkpoint(CARD, {}, "")
    wanted = expit(np.array(logits) * [1.5, 0.8] + [-0.5, 0.1])
    found = checkpoint.probabilities(np.array([logits], np.float32))
    np.testing.assert_allclose(found, [wanted], rtol=1e-5, atol=1e-7)
    assert found.dtype == np.float32


def test_thresholds_are_in_the_order_of_the_findings_and_infinite_where_there_is_none() -> None:
    checkpoint = Checkpoint(CARD, {}, "")
    np.testing.assert_array_equal(checkpoint.thresholds, np.float32([0.4, np.inf]))
    sure = np.float32([1, 1])
    assert [checkpoint.called(sure, n) for n in (0, 1)] == [True, None]
    assert checkpoint.called(np.float32([0.39, 1]), 0) is False


def test_a_lift_is_the_probability_over_the_base_rate() -> None:
    lifts = Checkpoint(CARD, {}, "").lifts(np.float32([[0.1, 0.1], [0.05, 0.6]]))
    np.testing.assert_allclose(lifts, [[2, 0.5], [1, 3]], rtol=1e-6)
    unknown = Checkpoint(Card(FINDINGS), {}, "")
    assert np.isnan(unknown.lifts(np.float32([0.1, 0.1]))).all()


@pytest.mark.parametrize(
    ("rates", "thresholds", "order"),
    [
        ((0.1, 0.4, 0.2), (0.5, 0.5, 0.5), [0, 2, 1]),  # lifts 3, 1, 2.5
        ((0.1, 0.4, 0.2), (None, 0.5, 0.5), [2, 1, 0]),
        ((None, None, None), (0.5, 0.5, 0.5), [2, 1, 0]),
        ((None, 0.4, 0.2), (None, 0.5, None), [1, 2, 0]),
    ],
)
def test_findings_are_ordered_by_lift_and_those_that_are_never_called_come_last(
    rates: tuple[float | None, ...], thresholds: tuple[float | None, ...], order: list[int]
) -> None:
    calibration = tuple(
        Calibration(threshold=threshold, base_rate=rate)
        for rate, threshold in zip(rates, thresholds, strict=True)
    )
    card = Card(("Edema", "Mass", "Nodule"), calibration=calibration)
    assert Checkpoint(card, {}, "").order(np.float32([0.3, 0.4, 0.5])) == order


# ---- Refusals -----------------------------------------------------------------------------------


def test_a_missing_checkpoint_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no checkpoint at .*nowhere.*xemplar train"):
        load(tmp_path / "nowhere")


def raw(path: Path, weights: Weights, card: Any) -> Path:
    """A safetensors file with any card, as another program might write it."""
    metadata = {"xemplar": card if isinstance(card, str) else json.dumps(card)}
    safetensors.numpy.save_file(dict(weights), path, metadata if card is not None else None)
    return path


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory, weights: Weights) -> dict[str, Any]:
    """The card's JSON as it is written."""
    path = tmp_path_factory.mktemp("card") / "checkpoint"
    save(path, CARD, weights)
    with safetensors.safe_open(path, framework="numpy") as file:
        loaded: dict[str, Any] = json.loads(file.metadata()["xemplar"])
    return loaded


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", bytes(1000), b"PK\x03\x04"])
def test_another_kind_of_file_is_rejected(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(CorruptArtefact, match=r"file is no checkpoint of this software"):
        load(tmp_path / "file")


def test_a_safetensors_file_of_another_program_is_rejected(
    tmp_path: Path, weights: Weights
) -> None:
    with pytest.raises(CorruptArtefact, match="is no checkpoint of this software"):
        load(raw(tmp_path / "file", weights, None))


def test_a_card_of_another_schema_is_rejected(
    tmp_path: Path, weights: Weights, fields: dict[str, Any]
) -> None:
    with pytest.raises(CorruptArtefact, match="schema 99; this software reads 2 and 3; install"):
        load(raw(tmp_path / "file", weights, fields | {"schema": 99}))


def test_a_checkpoint_from_before_there_were_projections_is_read(
    tmp_path: Path, weights: Weights, fields: dict[str, Any]
) -> None:
    plain = {name: value for name, value in weights.items() if name != PROJECTION}
    shape = {k: v for k, v in fields["architecture"].items() if k != "projection"}
    path = raw(tmp_path / "file", plain, fields | {"architecture": shape})
    assert load(path).card.architecture == PLAIN


def test_a_checkpoint_from_before_there_were_base_rates_is_read(
    tmp_path: Path, weights: Weights, fields: dict[str, Any]
) -> None:
    old = {k: v for k, v in fields.items() if k != "population"} | {
        "schema": 2,
        "calibration": [{"scale": 1.5, "offset": -0.5, "threshold": 0.4}] * 2,
    }
    card = load(raw(tmp_path / "file", weights, old)).card
    assert card.calibration == (Calibration(1.5, -0.5, 0.4, None, None, None),) * 2
    assert card.population is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("findings", None),
        ("spec", {}),
        ("spec", None),
        ("architecture", {"blocks": [1, 1]}),
        ("architecture", {"depth": 3}),
        ("calibration", [{"slope": 1}]),
        ("calibration", 3),
        ("calibration", [{"threshold": 1.5}] * 2),
        ("calibration", [{"threshold": "high"}] * 2),
        ("calibration", [{"base_rate": 0}] * 2),
        ("calibration", [{"base_rate": 1.0}] * 2),
        ("calibration", [{"base_rate": float("nan")}] * 2),
        ("population", {"source": "ours"}),
        ("population", {"source": "ours", "images": 1, "labelled": 1, "ill": 2}),
        ("population", "ours"),
    ],
)
def test_a_card_with_a_broken_field_is_rejected(
    tmp_path: Path, weights: Weights, fields: dict[str, Any], field: str, value: object
) -> None:
    with pytest.raises(CorruptArtefact):
        load(raw(tmp_path / "file", weights, fields | {field: value}))


@pytest.mark.parametrize(
    "card", ["[]", "3", "not JSON", "{}", pytest.param("[" * 100_000, id="deep")]
)
def test_an_invalid_card_is_rejected(tmp_path: Path, weights: Weights, card: str) -> None:
    with pytest.raises(CorruptArtefact, match="is no checkpoint of this software"):
        load(raw(tmp_path / "file", weights, card))


@pytest.mark.parametrize(
    "name", ["features.conv0.weight", "features.norm5.running_var", "classifier.bias"]
)
def test_a_checkpoint_that_lacks_a_weight_is_rejected_by_its_name(
    tmp_path: Path, weights: Weights, fields: dict[str, Any], name: str
) -> None:
    lacking = {key: value for key, value in weights.items() if key != name}
    with pytest.raises(CorruptArtefact, match=f"{name} has shape None"):
        load(raw(tmp_path / "file", lacking, fields))


def test_weights_of_another_architecture_are_rejected(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    other = seeded_weights(Architecture(growth=4, blocks=(1, 1, 1, 1), stem=8), len(FINDINGS))
    with pytest.raises(CorruptArtefact, match=r"classifier\.weight has shape .* its card says"):
        load(raw(tmp_path / "file", other, fields))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_rejected_by_name(
    tmp_path: Path, weights: Weights, fields: dict[str, Any], value: float
) -> None:
    broken = {name: array.copy() for name, array in weights.items()}
    broken["features.norm0.bias"][0] = value
    with pytest.raises(CorruptArtefact, match=r"not finite in features\.norm0\.bias"):
        load(raw(tmp_path / "file", broken, fields))


@pytest.mark.parametrize("value", [np.nan, 1e6], ids=["no number", "too large for float16"])
def test_weights_that_could_not_be_loaded_again_are_not_written(
    tmp_path: Path, weights: Weights, value: float
) -> None:
    broken = {name: array.copy() for name, array in weights.items()}
    broken["features.conv0.weight"][0, 0, 0, 0] = value
    with pytest.raises(CorruptArtefact, match=r"not finite in features\.conv0\.weight"):
        save(tmp_path / "checkpoint", CARD, broken)
    assert list(tmp_path.iterdir()) == []


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_damaged_file_is_loaded_or_refused_and_nothing_else(
    tmp_path: Path, weights: Weights, data: st.DataObject
) -> None:
    path = tmp_path / "checkpoint"
    save(path, CARD, weights)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([None, place]))])
    try:
        load(path)
    except CorruptArtefact as error:
        assert "checkpoint" in str(error)  # noqa: PT017 - either answer is right
