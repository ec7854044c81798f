"""Similarity calibrated on an index's own cases: what their labels say, and no patient's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from xemplar.errors import ConfigurationError
from xemplar.indexing.self_calibration import NEAREST, calibrate_on_own_cases

COUNT = 120


@dataclass
class Cases:
    """A catalog of cases; those that show the finding lie near one another."""

    vectors_: npt.NDArray[np.float32]
    findings: list[tuple[str, ...]]
    patients: list[str | None]
    sources: list[str]

    def vectors(self, _: str) -> Iterator[Any]:
        yield SimpleNamespace(ids=np.arange(len(self.findings)), vectors=self.vectors_)

    def cases(self, ids: Iterator[int]) -> dict[int, Any]:
        return {
            one: SimpleNamespace(
                case_id=str(one),
                findings=self.findings[one],
                patient=self.patients[one],
                source=self.sources[one],
            )
            for one in ids
        }


def drawn(count: int = COUNT) -> Cases:
    generator = np.random.default_rng(3)
    ill = generator.random(count) < 0.4
    vectors = generator.normal(size=(count, 8))
    vectors[ill, 0] += 3
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    findings = [("Mass",) if one else ("No Finding",) for one in ill]
    return Cases(vectors, findings, [None] * count, ["phantoms"] * count)


def calibrated(cases: Any) -> Any:
    return calibrate_on_own_cases(cases, "digest")


def test_the_chance_rises_and_is_on_average_what_the_labels_say() -> None:
    found = calibrated(drawn())
    assert found.chance[-1] > found.chance[0]
    assert (found.source, found.images, found.pairs) == ("phantoms", COUNT, COUNT * NEAREST)
    assert found.ill == pytest.approx(0.4, abs=0.15)


def test_the_curve_is_as_sure_as_the_labels_are() -> None:
    """A logistic curve's mean is the observed share: the condition of the greatest likelihood."""
    cases = drawn()
    found = calibrated(cases)
    shares, said = [], []
    for row, own in enumerate(cases.findings):
        cosine = cases.vectors_ @ cases.vectors_[row]
        cosine[row] = -np.inf
        for near in np.argsort(-cosine, kind="stable")[:NEAREST]:
            shares.append(own == cases.findings[near] == ("Mass",))
            said.append(found.chance_of(float(cosine[near])))
    assert np.mean(said) == pytest.approx(np.mean(shares), abs=0.01)


def test_images_of_one_patient_are_not_compared() -> None:
    cases = drawn()
    cases.patients = ["one"] * COUNT
    with pytest.raises(ConfigurationError, match="cannot be calibrated"):
        calibrated(cases)


def test_cases_without_labels_do_not_count() -> None:
    cases = drawn()
    cases.findings[0] = ()
    assert calibrated(cases).images == COUNT - 1


def test_several_data_sets_or_too_few_cases_are_refused() -> None:
    cases = drawn()
    cases.sources[0] = "other"
    with pytest.raises(ConfigurationError, match="120 labelled cases of 2 data sets"):
        calibrated(cases)
    with pytest.raises(ConfigurationError, match="10 labelled cases of 1 data sets"):
        calibrated(drawn(NEAREST))
