"""Other readers' classes are learnt beside the findings, and leave no trace in the checkpoint."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from xemplar_trainer.box_supervision import box_supervision_of
from xemplar_trainer.data import Sample
from xemplar_trainer.reader_heads import with_reader_heads
from xemplar_trainer.run import train
from xemplar_trainer.settings import LossWeights
from xemplar_trainer.state import progress_of
from xemplar_trainer.student import Student

from tests.trainer.drawn import FINDINGS, RECIPE, TINY, drawn_set
from xemplar.data.datasets import Dataset, DatasetImage, open_dataset
from xemplar.errors import DatasetError
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.checkpoint import load
from xemplar.model.encoder import open_encoder
from xemplar.model.pytorch import DenseNetwork

NORMAL, OPAQUE = "rsna_class: Normal", "rsna_class: Lung Opacity"
HEADED = replace(RECIPE, reader_heads=True, epochs=2, pkt_weight=0.2, ema_decay=0.5)


def image(reading: str | None, split: str = "train") -> DatasetImage:
    readings = {} if reading is None else {"rsna_class": reading}
    return DatasetImage(Path("1.png"), "ours", labels={"Mass": 1}, split=split, readings=readings)


def test_a_class_is_a_label_of_the_images_that_its_reader_read() -> None:
    splits = {
        "train": [image("Normal"), image("Lung Opacity"), image(None)],
        "val": [image("No Lung Opacity / Not Normal", "val")],
    }
    labelled, settings = with_reader_heads(splits, RECIPE)
    assert settings.findings == (*FINDINGS, OPAQUE, NORMAL)
    assert [dict(one.labels) for one in (*labelled["train"], *labelled["val"])] == [
        {"Mass": 1, NORMAL: 1, OPAQUE: 0},
        {"Mass": 1, NORMAL: 0, OPAQUE: 1},
        {"Mass": 1},
        {"Mass": 1, NORMAL: 0, OPAQUE: 0},
    ]


def test_heads_without_a_reader_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"no training image has another reader.* rsna_class or"):
        with_reader_heads({"train": [image(None)], "val": []}, RECIPE)


def test_heads_say_nothing_of_neighbours() -> None:
    """Of no image is the third output known: the two findings alone decide."""
    torch.manual_seed(0)
    network = DenseNetwork(TINY, 3, PreprocessSpec(size=64))
    student = Student(network, prevalence=torch.tensor([0.5, 0.1])).eval()
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]).repeat(4, 1)
    known = torch.tensor([1.0, 1.0, 0.0]).expand(8, 3)
    batch = Sample(torch.rand(8, 64, 64), target, known, torch.ones(8, 3, 2, 2), known)
    with torch.no_grad():
        loss = student(batch, LossWeights(pkt=1.0))[1]
    assert loss > 0


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The drawn set, whose every second image another reader read."""
    folder = drawn_set(tmp_path_factory.mktemp("read") / "set").root
    rows = (folder / "labels.csv").read_text().splitlines()
    classes = ("Normal", "", "Lung Opacity", "")
    marked = [f"{row},{classes[n % 4]}" for n, row in enumerate(rows[1:])]
    (folder / "labels.csv").write_text("\n".join([f"{rows[0]},rsna_class", *marked]) + "\n")
    boxes = ["file,label,x,y,w,h,provenance", "images/1.png,Mass,20,20,24,20,me"]
    (folder / "boxes.csv").write_text("\n".join(boxes) + "\n")
    return open_dataset(folder, "drawn")


def test_the_checkpoint_of_a_run_with_heads_has_the_findings_alone(
    read: Dataset, tmp_path: Path
) -> None:
    settings = replace(HEADED, projection=4, box_weight=0.1)
    path = train(settings, [read], tmp_path / "run", architecture=TINY, console=Console(quiet=True))
    checkpoint = load(path)
    assert checkpoint.card.findings == FINDINGS
    assert checkpoint.card.training["findings"] == list(FINDINGS)
    assert checkpoint.weights["classifier.weight"].shape[0] == len(FINDINGS)
    assert len(checkpoint.card.calibration) == len(FINDINGS)
    assert set(progress_of(path.parent / "state.safetensors")["epochs"][0]["auc_by_finding"]) == {
        *FINDINGS
    }
    assert open_encoder(checkpoint).checkpoint is checkpoint
    # ... and the same command finds it finished
    before = path.read_bytes()
    train(settings, [read], tmp_path / "run", architecture=TINY, console=Console(quiet=True))
    assert path.read_bytes() == before


def test_a_box_of_an_opacity_stays_with_the_finding(read: Dataset) -> None:
    splits = {"train": [i for i in read.images if i.split == "train"], "val": []}
    labelled, settings = with_reader_heads(splits, RECIPE)
    boxes = box_supervision_of([read], labelled["train"], settings.findings)
    assert boxes.masks(1)[1].tolist() == [1, 0, 0, 0]
