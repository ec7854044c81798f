"""AUC by finding, and the checkpoint's curves."""

from dataclasses import replace

import numpy as np
import pytest
from xemplar_evaluator.classification import classification
from xemplar_evaluator.data import EvaluationData

from xemplar.errors import DatasetError


def with_logits(data: EvaluationData, logits: np.ndarray) -> EvaluationData:
    return replace(data, queries=replace(data.queries, logits=logits))


def labels(data: EvaluationData) -> np.ndarray:
    names = data.findings
    return np.array(
        [[image.labels.get(name, 0) for name in names] for image in data.queries.records]
    )


def test_a_network_that_knows_the_labels_has_an_auc_of_1(data: EvaluationData) -> None:
    truth = labels(data).astype(np.float32)
    table = classification(with_logits(data, truth)).tables[0]
    assert (table.rows[0][0], table.rows[0][2]) == ("mean of all", 0.5)
    assert all(row[1].value == 1 for row in table.rows)
    assert table.rows[0][1].low == 1


def test_a_network_that_says_the_same_of_all_has_an_auc_of_one_half(data: EvaluationData) -> None:
    table = classification(with_logits(data, 0 * data.queries.logits)).tables[0]
    assert all(row[1].value == 0.5 for row in table.rows[1:])


def test_who_tells_only_ill_from_well_knows_nothing_among_the_ill(data: EvaluationData) -> None:
    truth = labels(data)
    ill = truth.any(axis=1)
    assert 0 < ill.sum() < len(ill)
    told = np.repeat(ill[:, None], truth.shape[1], axis=1).astype(np.float32)
    mean, *rows = classification(with_logits(data, told)).tables[0].rows
    assert all(row[1].value > 0.5 for row in rows)
    assert {row[5].value for row in rows if row[5]} == {0.5}
    assert mean[5].value == 0.5


def test_where_all_the_ill_have_one_finding_there_is_no_other_to_tell_it_from(
    data: EvaluationData,
) -> None:
    name = data.findings[0]
    images = tuple(
        replace(image, labels={name: n % 2}) for n, image in enumerate(data.queries.records)
    )
    asked = replace(data, queries=replace(data.queries, records=images))
    mean, row = classification(asked).tables[0].rows
    assert (row[0], row[5], mean[5]) == (name, None, None)


def test_findings_that_all_or_none_have_are_missing(data: EvaluationData) -> None:
    positive = labels(data).sum(axis=0)
    some = {
        name
        for name, count in zip(data.findings, positive, strict=True)
        if 0 < count < len(data.queries)
    }
    rows = classification(data).tables[0].rows[1:]
    assert {row[0] for row in rows} == some


def test_splits_stand_apart_each_with_the_mean_of_its_findings(data: EvaluationData) -> None:
    """The network knows the labels of one split, and the opposite of the other's."""
    records = tuple(
        replace(image, split=("test", "box")[n % 2]) for n, image in enumerate(data.queries.records)
    )
    told = labels(data).astype(np.float32)
    told[1::2] *= -1
    queries = replace(data.queries, records=records, logits=told)
    together, apart = classification(replace(data, queries=queries)).tables
    means = {row[0]: row[2].value for row in apart.rows if row[1] == "mean of all"}
    assert means == {"test": 1, "box": 0}
    assert 0 < together.rows[0][1].value < 1


def test_images_without_labels_cannot_be_classified(data: EvaluationData) -> None:
    images = tuple(replace(image, labels={}) for image in data.queries.records)
    with pytest.raises(DatasetError, match="no AUC can be computed"):
        classification(replace(data, queries=replace(data.queries, records=images)))


def test_the_losses_are_drawn_where_the_checkpoint_tells_them(data: EvaluationData) -> None:
    assert [picture.name for picture in classification(data).pictures] == ["roc"]
    checkpoint = data.encoder.checkpoint
    history = [
        {"epoch": 1, "train_loss": 0.5, "val_loss": 0.4, "val_auc": 0.6},
        {"epoch": 2, "train_loss": 0.4, "val_loss": 0.3, "val_auc": 0.7},
    ]
    card = replace(checkpoint.card, training={"history": history})
    encoder = type(data.encoder)(replace(checkpoint, card=card), None)  # type: ignore[arg-type]
    drawn = classification(replace(data, encoder=encoder)).pictures
    assert [picture.name for picture in drawn] == ["roc", "loss"]
