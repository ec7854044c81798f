"""Images that stay in memory: the same samples, labels and masks as from files, decoded once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xemplar_trainer.resident
from rich.console import Console
from xemplar_trainer.box_supervision import BoxSupervision
from xemplar_trainer.data import Sample, TrainingImages, loader_of
from xemplar_trainer.distributed import Distributed
from xemplar_trainer.resident import (
    ResidentImages,
    ResidentLoader,
    batches_of,
    resident_images,
)
from xemplar_trainer.run import train
from xemplar_trainer.sampling import EpochSampler
from xemplar_trainer.settings import Augmentation, TrainingSettings

from tests.images import drawn_image, encoded
from tests.trainer.drawn import FINDINGS, RECIPE, TINY, drawn_set
from xemplar.data.boxes import Box
from xemplar.data.datasets import Dataset, DatasetImage
from xemplar.errors import ConfigurationError, DatasetError
from xemplar.model.checkpoint import load

QUIET = Console(quiet=True)
KEPT = replace(RECIPE, resident="yes")
STILL = Augmentation(*[0.0] * 11, crop=1.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return drawn_set(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture
def images(dataset: Dataset) -> list[DatasetImage]:
    return list(dataset.images)


def kept(images: Sequence[DatasetImage], settings: TrainingSettings = KEPT) -> ResidentImages:
    found = resident_images(images, settings, "cpu", Distributed(), QUIET)
    assert found is not None
    return found


def compare(samples: Sequence[Sample], others: Sequence[Sample]) -> None:
    assert len(samples) == len(others) > 0
    for one, other in zip(samples, others, strict=True):
        for part, same in zip(one, other, strict=True):
            torch.testing.assert_close(part, same, rtol=0, atol=2e-3)
        torch.testing.assert_close(one.image, other.image, rtol=0, atol=0)


# ---- As from files ------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_samples_are_those_of_the_files(tmp_path: Path, fit: str) -> None:
    """Images of several shapes, of which some have boxes; at both sizes."""
    drawn_set(tmp_path / "set", train=8, val=2)
    for number, shape in enumerate([(96, 64), (64, 96), (64, 64), (80, 64)]):
        path = tmp_path / "set" / "images" / f"{number}.png"
        path.write_bytes(encoded(drawn_image(number, *shape)))
    images = [
        DatasetImage(tmp_path / "set" / "images" / f"{n}.png", "drawn", patient=f"{n}",
                     labels={"Mass": n % 2, "Effusion": -1 if n == 3 else 1})
        for n in range(8)
    ]  # fmt: skip
    settings = replace(KEPT, fit=fit, small_size=32, small_epochs=1)
    boxes = BoxSupervision(
        {
            1: [Box("Mass", "Mass", 0.1, 0.5, 0.4, 0.8)],
            3: [Box("Mass", "Mass", 0.5, 0.1, 0.8, 0.4), Box("b", "Effusion", 0, 0.5, 0.4, 1)],
        },
        FINDINGS,
    )
    source = TrainingImages(images, settings, boxes=boxes)
    resident = kept(images, settings)
    for epoch in (1, 2):
        keys = [(epoch, index) for index in (3, 1, 0, 7, 5, 2, 4)]
        compare(
            [*batches_of(source, keys, resident)],
            [*loader_of(source, keys)],
        )


def test_only_what_is_asked_for_is_decoded_once_more(
    images: list[DatasetImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    decode = xemplar_trainer.resident.read
    monkeypatch.setattr(
        xemplar_trainer.resident, "read", lambda record: read.append(record) or decode(record)
    )
    resident = kept([*images, images[0]])
    loader = ResidentLoader(TrainingImages(images, KEPT), [(1, 0), (1, 1)], resident)
    assert [*loader]
    assert [*loader]
    assert sorted(read, key=lambda one: one.path) == sorted(images, key=lambda one: one.path)


def test_no_part_of_a_training_reads_the_files_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do validation and projection: the way to read an image of a batch is barred."""
    monkeypatch.delattr("xemplar_trainer.data.read")
    settings = replace(KEPT, epochs=1, projection=4)
    with pytest.raises(NameError):
        TrainingImages(dataset.images, settings)[1, 0]
    checkpoint = load(
        train(settings, [dataset], tmp_path / "out", architecture=TINY, console=QUIET)
    )
    assert checkpoint.card.architecture.projection == 4


def test_a_last_batch_is_smaller_or_left_out(images: list[DatasetImage]) -> None:
    source, resident = TrainingImages(images, KEPT), kept(images)
    keys = [(1, index) for index in range(20)]
    for drop, sizes in ((False, [8, 8, 4]), (True, [8, 8])):
        loader = ResidentLoader(source, keys, resident, drop_last=drop)
        assert [len(batch.image) for batch in loader] == sizes
        assert len(loader) == len(sizes)


def test_a_mask_stays_on_what_it_shows(tmp_path: Path) -> None:
    """A white square, boxed, in images that are augmented: IoU at the cells of the location."""
    pixels = np.full((128, 128), 20, np.uint8)
    pixels[32:96, 64:112] = 250
    (tmp_path / "square.png").write_bytes(encoded(pixels))
    record = DatasetImage(tmp_path / "square.png", "ours", labels={"Mass": 1, "Effusion": 0})
    changes = replace(STILL, flip=0.5, rotation=15.0, translation=0.1, scale=0.1, crop=0.9)
    settings = replace(
        KEPT, size=256, batch_size=16, augmentation=replace(changes, elastic=30, elastic_chance=1)
    )
    boxes = BoxSupervision({0: [Box("Mass", "Mass", 0.5, 0.25, 0.875, 0.75)]}, FINDINGS)
    source = TrainingImages([record], settings, augmented=True, boxes=boxes)
    for epoch in range(1, 6):
        (batch,) = ResidentLoader(source, [(epoch, 0)], kept([record], settings))
        seen = torch.nn.functional.adaptive_avg_pool2d((batch.image > 0.5).float(), 8)
        said = batch.location[:, 0]
        overlap = torch.minimum(seen, said).sum() / torch.maximum(seen, said).sum()
        assert overlap > 0.9
        assert 0.1 < seen.mean() < 0.4


# ---- Reproducible -------------------------------------------------------------------------------


def test_an_epoch_is_the_same_again_and_another_epoch_is_not(images: list[DatasetImage]) -> None:
    def epoch(number: int, settings: TrainingSettings = KEPT) -> list[Sample]:
        source = TrainingImages(images, settings, augmented=True)
        sampler = EpochSampler(images, settings, Distributed())
        sampler.epoch = number
        return [*ResidentLoader(source, sampler, kept(images))]

    compare(epoch(2), epoch(2))
    for other in (epoch(3), epoch(2, replace(KEPT, seed=9))):
        assert not torch.equal(other[0].image, epoch(2)[0].image)


def test_a_training_with_images_in_memory_learns_and_goes_on_as_if_it_had_not_stopped(
    dataset: Dataset, tmp_path: Path
) -> None:
    def trained(name: str, epochs: int) -> Path:
        settings = replace(KEPT, epochs=epochs, ema_decay=0.9, mixup=0.2)
        return train(settings, [dataset], tmp_path / name, architecture=TINY, console=QUIET)

    whole = load(trained("whole", 3))
    trained("parts", 1)
    parts = load(trained("parts", 3))
    assert whole.card.metrics["val_auc"] > 0.75
    for name, weights in whole.weights.items():
        np.testing.assert_array_equal(weights, parts.weights[name])


# ---- Where they are kept ------------------------------------------------------------------------


def test_images_are_kept_where_they_are_asked_for_or_a_gpu_trains(
    images: list[DatasetImage],
) -> None:
    for choice in ("auto", "no"):
        settings = replace(RECIPE, resident=choice)
        assert resident_images(images, settings, "cpu", Distributed(), QUIET) is None
        loader = batches_of(TrainingImages(images, settings), [(1, 0)], None)
        assert not isinstance(loader, ResidentLoader)
    assert kept(images).device_bytes == 0


def test_a_gpu_that_is_full_leaves_them_to_the_host_and_that_to_the_files(
    images: list[DatasetImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is a pretence: nothing is put on it."""
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (1000, 1000))
    settings = replace(KEPT, resident="auto")
    found = resident_images(images, settings, "cuda:0", Distributed(), QUIET)
    assert found is not None
    assert (found.device, found.inputs[64].device.type) == ("cuda:0", "cpu")
    monkeypatch.setattr(xemplar_trainer.resident, "HOST_SHARE", 1e-9)
    console = Console(width=200, force_terminal=False)
    with console.capture() as said:
        assert resident_images(images, settings, "cuda:0", Distributed(), console) is None
    assert "are read from their files in each epoch" in said.get()
    with pytest.raises(ConfigurationError, match=r"72 images take .* leave out --resident yes"):
        resident_images(images, KEPT, "cuda:0", Distributed(), QUIET)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("share", [0.4, 0.0])
def test_batches_on_a_gpu_are_those_on_a_processor(
    images: list[DatasetImage], monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """Whether the images lie on the GPU or beside it; within the roundings of an interpolation."""
    monkeypatch.setattr(xemplar_trainer.resident, "DEVICE_SHARE", share)
    source = TrainingImages(images, KEPT, augmented=True)
    keys = [(1, index) for index in range(20)]
    held = resident_images(images, KEPT, "cuda:0", Distributed(), QUIET)
    assert held is not None
    assert bool(held.device_bytes) == bool(share)
    pairs = zip(
        ResidentLoader(source, keys, held), ResidentLoader(source, keys, kept(images)), strict=True
    )
    for batch, other in pairs:
        for part, same in zip(batch, other, strict=True):
            torch.testing.assert_close(part.cpu(), same, rtol=0, atol=0.02)


def test_all_images_that_cannot_be_read_are_told_at_the_start(tmp_path: Path) -> None:
    broken = drawn_set(tmp_path / "set", train=24, val=4)
    for number in range(2, 10):
        (tmp_path / "set" / "images" / f"{number}.png").write_bytes(b"letter")
    told = r"2\.png cannot be used: .*6\.png .*; and 3 others of 28 images"
    with pytest.raises(DatasetError, match=told):
        train(KEPT, [broken], tmp_path / "out", architecture=TINY, console=QUIET)


def test_a_run_goes_on_with_smaller_batches_where_the_memory_was_too_small(
    dataset: Dataset, tmp_path: Path
) -> None:
    """As the error for that asks for: finished epochs are not lost."""
    first = replace(KEPT, epochs=1)
    train(first, [dataset], tmp_path / "out", architecture=TINY, console=QUIET)
    again = replace(first, epochs=2, batch_size=4, resident="no")
    train(again, [dataset], tmp_path / "out", architecture=TINY, console=QUIET)
    rows = (tmp_path / "out" / "epochs.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]
