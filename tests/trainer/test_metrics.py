"""Loss, accuracy and AUC, worked out by hand; unknown labels count nowhere."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from xemplar_trainer.epoch import masked_bce
from xemplar_trainer.metrics import Outputs, accuracy, auc_by_finding, masked_loss, mean_auc, roc

from xemplar.errors import DatasetError

# Two images, two findings. Logits 0 and ln 3 say 1/2 and 3/4; the last label is unknown.
# image 1: logit 0, present: -ln(1/2) = ln 2; logit ln 3, absent: -ln(1/4) = ln 4
# image 2: logit ln 3, present: -ln(3/4) = ln(4/3); unknown
LOGITS = np.array([[0, math.log(3)], [math.log(3), 50]], np.float32)
TARGET = np.array([[1, 0], [1, 0]], np.float32)
KNOWN = np.array([[1, 1], [1, 0]], np.float32)
LOSS = (math.log(2) + math.log(4) + math.log(4 / 3)) / 3


def outputs(logits: Any, target: Any, known: Any = None, sources: Any = None) -> Outputs:
    logits, target = np.array(logits, np.float32), np.array(target, np.float32)
    known = np.ones_like(target) if known is None else np.array(known, np.float32)
    return Outputs(
        logits, target, known, sources or ["ours"] * len(logits),
        [f"finding {n}" for n in range(logits.shape[1])], np.zeros((1, 1, 1), np.float32),
    )  # fmt: skip


def test_the_training_loss_is_the_mean_over_known_labels() -> None:
    parts = (torch.from_numpy(a) for a in (LOGITS, TARGET, KNOWN))
    assert float(masked_bce(*parts)) == pytest.approx(LOSS, rel=1e-6)


def test_several_processes_learn_from_all_their_labels_alike() -> None:
    """One knows three labels, the other one: the mean of their gradients is that of all four."""
    known = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    target = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    logits = torch.linspace(-1, 1, 8).reshape(4, 2).requires_grad_()
    masked_bce(logits, target, known).backward()
    assert logits.grad is not None
    together, logits.grad = logits.grad.clone(), None
    parts = (slice(0, 2), slice(2, 4))
    total = torch.stack([known[part].sum() for part in parts]).mean()
    sum(masked_bce(logits[p], target[p], known[p], total) for p in parts).backward()  # type: ignore[union-attr]
    torch.testing.assert_close(logits.grad / 2, together)


def test_the_validation_loss_is_the_same_loss() -> None:
    assert masked_loss(outputs(LOGITS, TARGET, KNOWN)) == pytest.approx(LOSS, rel=1e-6)


def test_an_unknown_label_gives_no_gradient() -> None:
    logits = torch.from_numpy(LOGITS).requires_grad_()
    masked_bce(logits, torch.from_numpy(TARGET), torch.from_numpy(KNOWN)).backward()
    assert logits.grad is not None
    assert logits.grad[1, 1] == 0
    # (sigmoid - target) / 3 for the others
    torch.testing.assert_close(logits.grad[0], torch.tensor([-0.5 / 3, 0.75 / 3]))


def test_images_of_which_nothing_is_known_cost_nothing() -> None:
    logits = torch.ones(2, 2, requires_grad=True)
    loss = masked_bce(logits, torch.ones(2, 2), torch.zeros(2, 2))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_the_validation_loss_does_not_overflow() -> None:
    assert masked_loss(outputs([[1000.0]], [[0]])) == pytest.approx(1000)


def test_accuracy_counts_known_labels_by_the_sign_of_the_logit() -> None:
    # right: logit 2 of a present one, -1 of an absent one; wrong: 3 of an absent one; 9 unknown
    found = accuracy(outputs([[2, -1], [3, 9]], [[1, 0], [0, 0]], [[1, 1], [1, 0]]))
    assert found == pytest.approx(2 / 3)


def test_auc_by_hand() -> None:
    # positives 1 and 4; negatives 0, 2, 3: of 6 pairs 1 > 0, 4 > 0, 4 > 2, 4 > 3 are right
    found = auc_by_finding(outputs([[1], [4], [0], [2], [3]], [[1], [1], [0], [0], [0]]))
    assert found == {"finding 0": pytest.approx(4 / 6)}


# Set A is rich in the finding and has high logits, set B is poor in it and has low ones, as where
# a network has learnt to tell children from adults. Within each set every pair is the wrong way
# round: A: positives 10 .. 13, negative 14; B: positive 1, negatives 2 .. 5.
# Pooled, 16 of 25 pairs are right (positives 10 .. 13 above negatives 2 .. 5): AUC 0.64.
MISLEADING = outputs(
    [[v] for v in (10, 11, 12, 13, 14, 1, 2, 3, 4, 5)],
    [[t] for t in (1, 1, 1, 1, 0, 1, 0, 0, 0, 0)],
    sources=["A"] * 5 + ["B"] * 5,
)


def test_telling_data_sets_apart_is_no_skill() -> None:
    assert auc_by_finding(MISLEADING) == {"finding 0": 0}
    pooled = outputs(MISLEADING.logits, MISLEADING.target)
    assert auc_by_finding(pooled) == {"finding 0": pytest.approx(0.64)}


def test_data_sets_are_weighted_by_their_pairs() -> None:
    # A: 1 positive above both negatives, 2 pairs right of 2; B: 1 of 1 pairs wrong: 2 of 3
    found = auc_by_finding(
        outputs([[3], [1], [2], [1], [2]], [[1], [0], [0], [1], [0]], sources=list("AAABB"))
    )
    assert found == {"finding 0": pytest.approx(2 / 3)}


def test_unknown_labels_make_no_pairs() -> None:
    found = auc_by_finding(outputs([[1], [2], [9]], [[0], [1], [0]], known=[[1], [1], [0]]))
    assert found == {"finding 0": 1}


def test_a_finding_without_a_pair_has_no_auc() -> None:
    found = auc_by_finding(outputs([[1, 1], [2, 2]], [[1, 0], [0, 0]]))
    assert found.keys() == {"finding 0"}


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=30).filter(
        lambda rows: len({present for _, present in rows}) == 2
    )
)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[int, bool]]) -> None:
    positives = [logit for logit, present in rows if present]
    negatives = [logit for logit, present in rows if not present]
    share = np.mean([(p > n) + (p == n) / 2 for p in positives for n in negatives])
    found = auc_by_finding(outputs([[v] for v, _ in rows], [[t] for _, t in rows]))
    assert found["finding 0"] == pytest.approx(share)


def test_the_mean_auc_does_not_weight_findings() -> None:
    assert mean_auc({"a": 0.5, "b": 0.9}) == pytest.approx(0.7)


def test_a_mean_of_no_auc_is_refused_and_not_0() -> None:
    with pytest.raises(DatasetError, match="no AUC can be computed; add validation images"):
        mean_auc({})


def test_the_roc_curve_is_drawn_over_known_images() -> None:
    made = outputs([[1], [4], [0], [2], [9]], [[1], [1], [0], [0], [0]], [[1], [1], [1], [1], [0]])
    false_positive, true_positive = roc(made, 0)
    # from the highest logit down: 4 present, 2 absent, 1 present, 0 absent
    np.testing.assert_allclose(false_positive, [0, 0, 0.5, 0.5, 1])
    np.testing.assert_allclose(true_positive, [0, 0.5, 0.5, 1, 1])
