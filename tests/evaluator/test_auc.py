"""Areas under ROC curves: against scikit-learn's, and what becomes of rare findings."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from xemplar_evaluator.auc import Judge, Truth, auc_of, mean_auc_of
from xemplar_evaluator.data import EvaluationData

from xemplar.errors import DatasetError

FINDINGS = ("Mass", "Nodule", "Hernia")


def truth(*labels: dict[str, int]) -> Truth:
    return Truth.of(labels, FINDINGS)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=30
    )
)
def test_the_area_is_scikit_learns_with_ties_and_images_that_count_several_times(
    images: list[tuple[bool, int, int]],
) -> None:
    kind, scores, times = (np.array(column) for column in zip(*images, strict=True))
    counted = kind[times > 0]
    area = auc_of(kind, scores.astype(float))(times.astype(float))
    if counted.all() or not counted.any():
        assert np.isnan(area)
    else:
        assert area == pytest.approx(roc_auc_score(kind, scores, sample_weight=times))


def test_a_finding_that_all_or_none_have_is_not_judged() -> None:
    known = {"Mass": 1, "Nodule": 1, "Hernia": 0}
    assert truth(known, known | {"Mass": 0}).judged == (0,)


def test_images_of_which_nobody_knows_do_not_count() -> None:
    images = truth({"Mass": 1}, {"Mass": 0}, {"Nodule": 1})
    scores = np.array([[2.0, 0, 0], [1, 0, 0], [99, 0, 0]])
    assert images.judged == (0,)
    assert mean_auc_of(images, scores, [0])(np.ones(3)) == 1


def test_a_resample_without_a_rare_finding_is_the_mean_of_the_others() -> None:
    images = truth({"Mass": 1, "Nodule": 0}, {"Mass": 0, "Nodule": 1}, {"Mass": 0, "Nodule": 0})
    scores = np.array([[3.0, 0, 0], [2, 1, 0], [1, 2, 0]])
    mean = mean_auc_of(images, scores, [0, 1])
    assert mean(np.array([1.0, 1, 1])) == pytest.approx((1 + 0.5) / 2)
    assert mean(np.array([1.0, 0, 1])) == 1  # the only nodule is not drawn
    assert np.isnan(mean(np.array([1.0, 0, 0])))


def test_the_difference_of_scores_with_themselves_is_0_and_surely_so(data: EvaluationData) -> None:
    judge, logits = Judge.of(data), data.queries.logits
    none = judge.difference(logits, logits, judge.truth.judged)
    assert (none.value, none.low, none.high) == (0, 0, 0)


def test_images_without_labels_cannot_be_judged(data: EvaluationData) -> None:
    images = tuple(replace(image, labels={}) for image in data.queries.records)
    with pytest.raises(DatasetError, match="no AUC can be computed"):
        Judge.of(replace(data, queries=replace(data.queries, records=images)))
