"""Soft labels come from networks that saw neither the image nor its patient."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy
import torch
from rich.console import Console
from torch import nn
from xemplar_trainer import crossfit
from xemplar_trainer.crossfit import SOFT_LABELS, FineTuned, fold_of, soft_labels
from xemplar_trainer.data import frontal_images
from xemplar_trainer.distributed import Distributed
from xemplar_trainer.epoch import Device
from xemplar_trainer.run import train
from xemplar_trainer.settings import FOLDS
from xemplar_trainer.student import Student
from xemplar_trainer.teacher import pretrained

from tests.trainer.drawn import RECIPE, TINY, drawn_set
from xemplar.data.datasets import DatasetImage, open_dataset
from xemplar.errors import ConfigurationError

QUIET = Console(quiet=True)
FITTED = replace(
    RECIPE, teacher="efficientnet-lite2", crossfit=5, crossfit_epochs=1, soft_label_weight=0.5
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[DatasetImage]:
    dataset = drawn_set(tmp_path_factory.mktemp("drawn") / "set", train=48, val=8)
    return frontal_images([dataset], RECIPE)["train"]


def test_all_images_of_a_patient_are_in_one_fold_and_parts_differ(
    images: list[DatasetImage],
) -> None:
    twins = [replace(images[0], path=Path(f"{n}.png")) for n in range(9)]
    assert len({fold_of(twin, 0) for twin in twins}) == 1
    # ... and in two data sets, so that no network judges a patient whom it saw in the other one
    other = replace(images[0], source="more", file="other.png", path=Path("other.png"))
    assert fold_of(other, 0) == fold_of(images[0], 0)
    many = [replace(images[0], patient=str(n)) for n in range(500)]
    folds = [fold_of(image, 0) for image in many]
    assert set(folds) == set(range(FOLDS))
    assert min(np.bincount(folds)) > 60
    assert folds != [fold_of(image, 1) for image in many]


def test_each_image_is_asked_of_the_network_that_did_not_see_it(
    images: list[DatasetImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work itself is left out: a network says its number, for the images that it leaves out."""
    unseen: list[frozenset[int]] = []

    def answers(
        _: Any, images: list[DatasetImage], left_out: frozenset[int], number: int, *rest: Any
    ) -> npt.NDArray[np.float32]:
        unseen.append(left_out)
        return np.full((len(left_out), 2), number, np.float32)

    monkeypatch.setattr(crossfit, "_held_out_logits", answers)
    said = soft_labels(FITTED, images, Device("cpu", half=False), Distributed(), tmp_path, QUIET)
    assert sorted(place for fold in unseen for place in fold) == list(range(len(images)))
    for number, fold in enumerate(unseen):
        assert said[sorted(fold)] == pytest.approx(1 / (1 + np.exp(-number)))


def test_what_a_network_said_before_a_kill_is_not_asked_again(
    images: list[DatasetImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def answers(
        _: Any, images: list[DatasetImage], left_out: frozenset[int], number: int, *rest: Any
    ) -> npt.NDArray[np.float32]:
        if number == 2 and asked.count(2) == 0:
            asked.append(2)
            raise KeyboardInterrupt
        asked.append(number)
        return np.zeros((len(left_out), 2), np.float32)

    monkeypatch.setattr(crossfit, "_held_out_logits", answers)
    arguments = (FITTED, images, Device("cpu", half=False), Distributed(), tmp_path, QUIET)
    with pytest.raises(KeyboardInterrupt):
        soft_labels(*arguments)
    assert set(safetensors.numpy.load_file(tmp_path / SOFT_LABELS)) == {"0", "1"}
    soft_labels(*arguments)
    assert asked == [0, 1, 2, 2, 3, 4]


@pytest.mark.long
def test_what_networks_said_is_not_taken_over_by_a_run_with_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in its cross-fitting, a run has no state yet."""
    dataset = drawn_set(tmp_path / "set", train=24, val=8)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def run(**changed: Any) -> None:
        train(
            replace(FITTED, **changed), [dataset], tmp_path / "run",
            architecture=TINY, console=QUIET,
        )  # fmt: skip

    monkeypatch.setattr(crossfit, "_held_out_logits", lambda *a: np.zeros((len(a[2]), 2)))
    monkeypatch.setattr("xemplar_trainer.run._one_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert (tmp_path / "run" / SOFT_LABELS).is_file()
    assert not (tmp_path / "run" / "state.safetensors").exists()
    with pytest.raises(ConfigurationError, match="crossfit_epochs was 1, is 2"):
        run(crossfit_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        run()  # the same settings go on


def test_a_single_patient_cannot_be_left_out(images: list[DatasetImage], tmp_path: Path) -> None:
    twins = [replace(image, patient="1") for image in images]
    with pytest.raises(ConfigurationError, match=r"too few patients.*--crossfit 0"):
        soft_labels(FITTED, twins, Device("cpu", half=False), Distributed(), tmp_path, QUIET)


def test_the_teacher_is_trained_as_a_whole_and_its_own_copy_stays_as_it_was(
    images: list[DatasetImage],
) -> None:
    network = FineTuned(pretrained("efficientnet-lite2"), 2)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert len(Student(network).network.levels(torch.rand(2, 64, 64))) == 3
    # its linear layer starts at zero: at first it says what is frequent, of every image the same
    assert torch.equal(network(torch.rand(2, 64, 64)), network.classifier.bias.expand(2, 2))


class Small(nn.Module):
    """A backbone that costs nothing: its channels, and maps at strides 8, 16 and 32."""

    channels = (3, 4, 5)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(1, count, 1) for count in self.channels)

    def forward(self, grey: torch.Tensor) -> list[torch.Tensor]:
        maps = [nn.functional.avg_pool2d(grey[:, None], stride) for stride in (8, 16, 32)]
        return [layer(one) for layer, one in zip(self.layers, maps, strict=True)]


@pytest.mark.parametrize(
    "teacher", ["small", pytest.param("efficientnet-lite2", marks=pytest.mark.long)]
)
def test_a_training_with_soft_labels_runs_from_end_to_end(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: str
) -> None:
    dataset = drawn_set(tmp_path / "set", train=24, val=8)
    short = replace(FITTED, epochs=1, mixup=0.4, pkt_weight=0.1, batch_size=8)
    if teacher == "small":
        monkeypatch.setattr(crossfit, "pretrained", lambda _: Small())
        short = replace(short, pkt_weight=0.0)
    else:
        request.getfixturevalue("_whole_teacher")
    path = train(
        short, [open_dataset(dataset.root)], tmp_path / "run", architecture=TINY, console=QUIET
    )
    said = safetensors.numpy.load_file(tmp_path / "run" / SOFT_LABELS)
    assert len(said) == 5
    assert not np.isnan(np.nanmean(np.stack(list(said.values())), axis=0)).any()
    assert path.is_file()
