"""Probabilities against labels, the raw sigmoid and a constant; calls; the verdict."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import logit
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.probability.study import probability
from xemplar_evaluator.probability.tables import verdict
from xemplar_evaluator.section import Estimate, Section, Table

from xemplar.data.datasets import DatasetImage
from xemplar.errors import DatasetError
from xemplar.model.calibration import Calibration, Population
from xemplar.model.encoder import Encoder

IMAGES, RATE = 600, 0.2


def asked(
    data: EvaluationData,
    logits: npt.NDArray[np.float64],
    present: npt.NDArray[np.bool_],
    *calibration: Calibration,
    splits: tuple[str, ...] = ("test",),
) -> EvaluationData:
    """Images of a patient each, with labels of the checkpoint's first findings alone."""
    findings, images = data.findings[: present.shape[1]], len(logits)
    checkpoint, some = data.encoder.checkpoint, data.queries.records[0]
    records = tuple(
        replace(
            some,
            labels=dict(zip(findings, map(int, row), strict=True)),
            patient=str(n),
            split=splits[n % len(splits)],
        )
        for n, row in enumerate(present)
    )
    all_logits = np.zeros((images, len(data.findings)), np.float32)
    all_logits[:, : len(findings)] = logits
    others = (Calibration(threshold=None),) * (len(data.findings) - len(calibration))
    card = replace(
        checkpoint.card,
        calibration=(*calibration, *others),
        population=Population("phantoms", 100, 900, 0.5),
    )
    return replace(
        data,
        encoder=Encoder(replace(checkpoint, card=card), None),  # type: ignore[arg-type]
        queries=replace(
            data.queries,
            records=records,
            patients=tuple(map(str, range(images))),
            logits=all_logits,
        ),
    )


def drawn(seed: int = 0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Two findings' logits, and labels that are as frequent as their sigmoids say."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(logit(RATE), 1.5, (IMAGES, 2))
    return logits, generator.random((IMAGES, 2)) < 1 / (1 + np.exp(-logits))


def fitting(scale: float = 1.0, offset: float = 0.0, threshold: float | None = 0.5) -> Calibration:
    return Calibration(scale, offset, threshold, RATE, 90, 20)


def table(section: Section, name: str) -> Table:
    (found,) = [one for one in section.tables if one.name == name]
    return found


def cells(section: Section, name: str, column: str) -> list[object]:
    found = table(section, name)
    return [row[list(found.columns).index(column)] for row in found.rows]


def value(cell: object) -> float:
    assert isinstance(cell, Estimate)
    return cell.value


# ---- Scores -------------------------------------------------------------------------------------


def test_scores_are_those_of_their_definitions(data: EvaluationData) -> None:
    logits, present = drawn()
    section = probability(asked(data, logits, present, fitting(2.0), fitting(2.0)))
    said = 1 / (1 + np.exp(-2 * logits))
    brier, loss = (
        cells(section, "probability-scores", c)
        for c in ("Brier score, thousandths", "log loss, thousandths")
    )
    assert value(brier[0]) == pytest.approx(1000 * ((said - present) ** 2).mean(), rel=1e-5)
    likelihood = np.where(present, said, 1 - said)
    assert value(loss[0]) == pytest.approx(-1000 * np.log(likelihood).mean(), rel=1e-4)
    assert value(brier[2]) == pytest.approx(1000 * ((RATE - present) ** 2).mean(), rel=1e-5)
    assert cells(section, "probability-scores", "probability") == [
        "calibrated",
        "raw sigmoid",
        "base rate alone",
    ]


def test_a_perfect_calibration_has_an_error_as_large_as_luck_makes_it(data: EvaluationData) -> None:
    logits, present = drawn()
    section = probability(asked(data, logits, present, fitting(), fitting()))
    error, luck = (
        cells(section, "probability-scores", c)[0] for c in ("calibration error", "of it by luck")
    )
    assert isinstance(luck, float)
    # ten bins of 120 labels, each with a standard error of at most 0.046: its mean deviation
    assert 0.005 < luck < 0.046
    assert value(error) < 2 * luck


def test_where_all_is_said_too_high_the_calibration_error_is_how_much(data: EvaluationData) -> None:
    logits, present = np.full((IMAGES, 1), logit(0.7)), np.arange(IMAGES)[:, None] % 5 == 0
    section = probability(asked(data, logits, present, fitting()))
    assert value(cells(section, "probability-scores", "calibration error")[0]) == pytest.approx(
        0.5, abs=1e-6
    )
    assert [row[0] for row in table(section, "probability-reliability").rows] == [
        pytest.approx(0.7, abs=1e-6)
    ]


# ---- Verdict ------------------------------------------------------------------------------------


def test_a_good_calibration_is_better_than_a_wrong_sigmoid_and_a_constant(
    data: EvaluationData,
) -> None:
    logits, present = drawn()
    section = probability(asked(data, logits - 2, present, fitting(offset=2), fitting(offset=2)))
    assert cells(section, "probability-differences", "verdict") == ["better"] * 4
    assert section.failures == []
    assert "It is not worse than either." in section.summary


def test_a_calibration_worse_than_the_raw_sigmoid_fails(data: EvaluationData) -> None:
    logits, present = drawn()
    section = probability(asked(data, logits, present, fitting(offset=2), fitting(offset=2)))
    assert len(section.failures) == 4  # than either, by either score
    assert section.failures[0].startswith(
        "the calibrated probability is worse than the raw sigmoid by its Brier score: by "
    )
    assert "FAILS" in section.summary


def test_a_network_that_knows_nothing_but_is_sure_is_worse_than_a_constant(
    data: EvaluationData,
) -> None:
    logits, _ = drawn(1)
    _, present = drawn(2)
    section = probability(asked(data, logits, present, fitting(), fitting()))
    against = [failure.split(" than the ")[1] for failure in section.failures]
    assert [one.split(" by its")[0] for one in against] == ["base rate alone"] * 2


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.02, "worse"),
        (-0.001, 0.01, "not told apart"),
        (-0.02, -0.01, "better"),
        (0.0, 1e-4, "not told apart"),  # as float32 rounds
        (1e-4, 2e-4, "not told apart"),
        (None, None, "too few patients"),
    ],
)
def test_verdicts_are_by_interval(low: float | None, high: float | None, said: str) -> None:
    assert verdict(Estimate(0.005, low, high, 9)) == said


def test_a_checkpoint_without_base_rates_is_compared_with_the_raw_sigmoid_alone(
    data: EvaluationData,
) -> None:
    logits, present = drawn()
    section = probability(asked(data, logits, present, Calibration(), Calibration()))
    assert set(cells(section, "probability-differences", "against")) == {"raw sigmoid"}
    assert section.failures == []


# ---- Calls --------------------------------------------------------------------------------------


def test_calls_are_counted_on_ill_and_healthy_images(data: EvaluationData) -> None:
    # rows: called and true; called and false; not called though present; healthy and called not
    sure = np.array([[2, -2], [2, -2], [-2, -2], [-2, -2]] * 10, float)
    present = np.array([[1, 0], [0, 0], [0, 1], [0, 0]] * 10, bool)
    section = probability(asked(data, sure, present, fitting(), fitting()))
    found = dict(
        zip(
            table(section, "probability-calls").columns,
            table(section, "probability-calls").rows[0],
            strict=False,
        )
    )
    assert value(found["calls an image"]) == 0.5
    assert value(found["labelled an image"]) == 0.5
    assert value(found["share of calls true"]) == 0.5
    assert value(found["share found"]) == 0.5
    assert value(found["healthy images with a call"]) == 0.5


def test_a_finding_without_threshold_is_said_never_to_be_called(data: EvaluationData) -> None:
    logits, present = drawn()
    section = probability(asked(data, logits, present, fitting(), fitting(threshold=None)))
    assert cells(section, "probability-findings", "called from")[:2] == [0.5, "never"]
    assert cells(section, "probability-findings", "calls")[1] == 0
    assert f"{data.findings[1]} (no threshold)" in section.text[2]
    assert data.findings[0] not in section.text[2]


def test_splits_stand_apart_where_there_are_several(data: EvaluationData) -> None:
    logits, present = drawn()
    both = asked(data, logits, present, fitting(), fitting(), splits=("test", "box"))
    assert cells(probability(both), "probability-calls", "images") == ["all", "box", "test"]
    one = asked(data, logits, present, fitting(), fitting())
    assert cells(probability(one), "probability-calls", "images") == ["all"]


def test_images_without_labels_are_refused(data: EvaluationData) -> None:
    images: tuple[DatasetImage, ...] = tuple(
        replace(image, labels={}) for image in data.queries.records
    )
    with pytest.raises(DatasetError, match="no probability can be judged"):
        probability(replace(data, queries=replace(data.queries, records=images)))
