"""AUC by finding, and the checkpoint's curves."""

from dataclasses import replace

import numpy as np
import pytest

from evaluator.classification import classification
from evaluator.material import Material
from xemplar.errors import DatasetError


def with_logits(material: Material, logits: np.ndarray) -> Material:
    return replace(material, queries=replace(material.queries, logits=logits))


def labels(material: Material) -> np.ndarray:
    names = material.findings
    return np.array(
        [[film.labels.get(name, 0) for name in names] for film in material.queries.films]
    )


def test_a_network_that_knows_the_labels_has_an_auc_of_1(material: Material) -> None:
    truth = labels(material).astype(np.float32)
    table = classification(with_logits(material, truth)).tables[0]
    assert table.rows[0][:3] == ["mean of all", 1.0, 0.5]
    assert all(row[1].value == 1 for row in table.rows[1:])


def test_a_network_that_says_the_same_of_all_has_an_auc_of_one_half(material: Material) -> None:
    table = classification(with_logits(material, 0 * material.queries.logits)).tables[0]
    assert all(row[1].value == 0.5 for row in table.rows[1:])


def test_findings_that_all_or_none_have_are_missing(material: Material) -> None:
    positive = labels(material).sum(axis=0)
    some = {
        name
        for name, count in zip(material.findings, positive, strict=True)
        if 0 < count < len(material.queries)
    }
    rows = classification(material).tables[0].rows[1:]
    assert {row[0] for row in rows} == some


def test_films_without_labels_cannot_be_classified(material: Material) -> None:
    films = tuple(replace(film, labels={}) for film in material.queries.films)
    with pytest.raises(DatasetError, match="no AUC can be computed"):
        classification(replace(material, queries=replace(material.queries, films=films)))


def test_the_losses_are_drawn_where_the_checkpoint_tells_them(material: Material) -> None:
    assert [picture.name for picture in classification(material).pictures] == ["roc"]
    checkpoint = material.encoder.checkpoint
    history = [
        {"epoch": 1, "train_loss": 0.5, "val_loss": 0.4, "val_auc": 0.6},
        {"epoch": 2, "train_loss": 0.4, "val_loss": 0.3, "val_auc": 0.7},
    ]
    card = replace(checkpoint.card, training={"history": history})
    encoder = type(material.encoder)(replace(checkpoint, card=card), None)  # type: ignore[arg-type]
    drawn = classification(replace(material, encoder=encoder)).pictures
    assert [picture.name for picture in drawn] == ["roc", "loss"]
