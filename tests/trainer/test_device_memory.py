"""A device whose memory is used up: told in figures, with a batch that may fit."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from xemplar_trainer.data import Sample, TrainingImages
from xemplar_trainer.distributed import Distributed
from xemplar_trainer.epoch import Device, Validation, train_epoch
from xemplar_trainer.resident import ResidentImages, batches_of, resident_images
from xemplar_trainer.settings import LossWeights

from tests.trainer.drawn import RECIPE, drawn_set
from xemplar.data.datasets import DatasetImage
from xemplar.errors import ConfigurationError

KEPT = replace(RECIPE, resident="yes")


class Greedy(nn.Module):
    """A network that asks for more memory than there is; a megabyte of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(2**18, 1, bias=False)

    def forward(self, batch: Sample, weights: LossWeights) -> tuple[Tensor, Tensor]:
        raise torch.OutOfMemoryError(f"{weights} for {len(batch.image)}: CUDA out of memory")

    def levels(self, grey: Tensor) -> list[Tensor]:
        raise torch.OutOfMemoryError(f"{grey.shape}: CUDA out of memory")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Sequence[DatasetImage]:
    return drawn_set(tmp_path_factory.mktemp("drawn") / "set", train=8, val=4).images


def resident(images: Sequence[DatasetImage], monkeypatch: pytest.MonkeyPatch) -> ResidentImages:
    """Images that count as if they were on a GPU."""
    found = resident_images(images, KEPT, "cpu", Distributed(), Console(quiet=True))
    assert found is not None
    monkeypatch.setattr(ResidentImages, "device_bytes", 3 * 2**30)
    return found


def attempt(images: Sequence[DatasetImage], kept: ResidentImages | None, batch: int) -> None:
    settings, network = replace(KEPT, batch_size=batch), Greedy()
    loader = batches_of(TrainingImages(images, settings), [(1, 0), (1, 1)], kept)
    optimizer = torch.optim.AdamW(network.parameters())
    device = Device("cpu", half=False)
    train_epoch(network, loader, optimizer, device, LossWeights(), None, lambda: None)


def test_the_error_names_a_smaller_batch_and_where_the_memory_went(
    images: Sequence[DatasetImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError) as told:
        attempt(images, resident(images, monkeypatch), 8)
    assert str(told.value) == (
        "the device's memory is too small for batches of 8 images: resident images take 3.00 GiB, "
        "weights and gradients take 0.00 GiB; the rest went to the network's maps, or to other "
        "programs; try --batch-size 4 or --resident no"
    )


def test_without_images_on_the_device_only_the_batch_is_to_blame(
    images: Sequence[DatasetImage],
) -> None:
    with pytest.raises(ConfigurationError, match=r"try --batch-size 2$"):
        attempt(images, None, 4)
    with pytest.raises(ConfigurationError, match=r"batches of 1 images.*try smaller images"):
        attempt(images, None, 1)


def test_validation_tells_it_too(images: Sequence[DatasetImage]) -> None:
    validation = Validation(images, RECIPE, Distributed())
    with pytest.raises(ConfigurationError, match="too small for batches of 8 images"):
        validation.outputs(Greedy(), Device("cpu", half=False), 1)
