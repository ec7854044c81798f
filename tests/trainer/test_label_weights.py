"""Labels that another reader contradicts are counted, and count less."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from xemplar_trainer.data import TrainingImages
from xemplar_trainer.initialisation import prevalence
from xemplar_trainer.label_weights import disagreements, label_weights, told, weights_as_drawn
from xemplar_trainer.losses import masked_bce
from xemplar_trainer.run import train

from tests.trainer.drawn import FINDINGS, RECIPE, TINY, drawn_set
from xemplar.data.datasets import DatasetImage, open_dataset
from xemplar.data.findings import Labels
from xemplar.model.checkpoint import load

HALF = replace(RECIPE, contradicted_weight=0.5)


def image(labels: Labels, reading: str = "", source: str = "ours") -> DatasetImage:
    readings = {"rsna_class": reading} if reading else {}
    return DatasetImage(Path("1.png"), source, labels=labels, readings=readings)


RECORDS = [
    image({"Mass": 1, "Effusion": 0}, "Normal"),
    image({"Mass": 1, "Effusion": 1}, "Normal"),
    image({"Mass": 0, "Effusion": 0}, "Normal"),
    image({"Mass": 0, "Effusion": 1}, "Lung Opacity"),
    image({"Mass": 1, "Effusion": 1}),
]


def test_a_contradicted_label_has_the_settings_weight() -> None:
    weights = label_weights(RECORDS, HALF)
    assert weights is not None
    assert weights.tolist() == [[0.5, 1], [0.5, 0.5], [1, 1], [0.5, 1], [1, 1]]
    assert label_weights(RECORDS, RECIPE) is None


def test_contradictions_are_counted_and_told() -> None:
    counts = disagreements(RECORDS, FINDINGS)
    assert counts == {
        "rsna_class: Lung Opacity": {"images": 1, "contradicted": 1, "labels": 1},
        "rsna_class: Normal": {"images": 3, "contradicted": 2, "labels": 3},
    }
    assert [*told(counts, 0.5)][1] == (
        "2 of 3 training images read as rsna_class: Normal contradict it by 3 labels, "
        "which count 0.5 each"
    )
    assert [*told(disagreements(RECORDS[2:3], FINDINGS), 0.5)] == []


def test_a_weighted_label_counts_that_much_in_the_loss() -> None:
    logits = torch.tensor([[2.0], [-1.0]])
    target, weight = torch.ones(2, 1), torch.tensor([[0.5], [1.0]])
    one, other = (masked_bce(logits[n], target[n], torch.ones(1)).item() for n in (0, 1))
    expected = (0.5 * one + other) / 1.5
    assert masked_bce(logits, target, weight).item() == pytest.approx(expected, rel=1e-6)


def test_a_finding_is_as_frequent_as_it_is_learnt_from() -> None:
    """Of 40 images of one set and 10 of another, an epoch draws 10 of each."""
    records = [image({"Mass": 0, "Effusion": 0}) for _ in range(40)]
    records += [image({"Mass": 1, "Effusion": n % 2}, "Normal", "other") for n in range(10)]
    settings = replace(HALF, images_per_epoch=20)
    weights = weights_as_drawn(records, settings)
    assert weights[:40] == pytest.approx(0.625)  # 10 of 40, where the mean is 20 of 50
    assert weights[40:, 0] == pytest.approx(1.25)  # 10 of 10, at half the weight
    share, known = prevalence(records, FINDINGS, settings.uncertain, weights)
    assert known == pytest.approx([25 + 12.5, 25 + 5 * 2.5 + 5 * 1.25])
    assert share[0] == pytest.approx((12.5 + 0.5) / (37.5 + 1))
    even = weights_as_drawn(records, RECIPE)
    assert even == pytest.approx(np.ones((50, 2)))


@pytest.fixture(scope="module")
def doubted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn set, of which another reader calls every image normal."""
    folder = drawn_set(tmp_path_factory.mktemp("doubted") / "set", train=16, val=8).root
    rows = (folder / "labels.csv").read_text().splitlines()
    marked = [f"{rows[0]},rsna_class", *(f"{row},Normal" for row in rows[1:])]
    (folder / "labels.csv").write_text("\n".join(marked) + "\n")
    return folder


def test_a_training_image_carries_its_weights_and_validation_none(doubted: Path) -> None:
    images = open_dataset(doubted, "drawn").images
    weighted = TrainingImages(images, HALF, label_weights=label_weights(images, HALF))
    assert weighted[1, 1].known.tolist() == [0.5, 1]
    assert TrainingImages(images, HALF)[1, 1].known.tolist() == [1, 1]


def test_a_run_tells_contradictions_and_the_card_keeps_them(doubted: Path, tmp_path: Path) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    settings = replace(HALF, epochs=1, pkt_weight=0.3)
    path = train(
        settings,
        [open_dataset(doubted, "drawn")],
        tmp_path / "out",
        architecture=TINY,
        console=console,
    )
    said = console.export_text()
    assert "12 of 16 training images read as rsna_class: Normal contradict it by 16 labels" in said
    kept = load(path).card.training["contradicted"]
    assert kept == {"rsna_class: Normal": {"images": 16, "contradicted": 12, "labels": 16}}
