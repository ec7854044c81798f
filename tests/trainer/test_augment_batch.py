"""Augmentation of batches: as the one of single images, reproducible, and masks follow images."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from xemplar_trainer.augment import augment
from xemplar_trainer.augment_batch import BatchAugmentation
from xemplar_trainer.settings import Augmentation

from tests.images import drawn_image

STRONG = Augmentation(
    elastic_chance=1.0,
    blur_chance=1.0,
    brightness=0.9,
    contrast=0.9,
    erasing_chance=1.0,
    gamma=0.5,
    noise=0.1,
)
STILL = Augmentation(*[0.0] * 11, crop=1.0)
USUAL = Augmentation(crop=0.7, elastic=60.0, erasing_chance=0.6)
SIDE = 64


def augmented(
    changes: Augmentation, image: npt.NDArray[np.float32], images: int, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Many changes of one image, (N, s, s), and of the same image as its mask, (N, 1, s, s)."""
    change = BatchAugmentation(changes, (seed, 1), images, len(image), "cpu")
    batch = torch.from_numpy(image).repeat(images, 1, 1)
    return change(batch, batch[:, None], torch.arange(images))


def block() -> npt.NDArray[np.float32]:
    """A white block on black."""
    image = np.zeros((SIDE, SIDE), np.float32)
    image[20:34, 26:44] = 1
    return image


# ---- As single images ---------------------------------------------------------------------------


def statistics(
    images: npt.NDArray[np.float32], masks: npt.NDArray[np.float32]
) -> dict[str, npt.NDArray[np.float64]]:
    """Measures of each image, and of the place and extent of what its mask shows."""
    at = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    total = masks.sum(axis=(1, 2))
    x, y = (masks.sum(axis=axis) @ at / total for axis in (1, 2))
    return {
        "x": x,
        "y": y,
        "area": total / SIDE**2,
        "width": np.sqrt(masks.sum(axis=1) @ at**2 / total - x**2),
        "slant": np.einsum("nij,i,j->n", masks, at, at) / total - x * y,
        "mean": images.mean(axis=(1, 2)),
        "spread": images.std(axis=(1, 2)),
        "corner": images[:, :8, :8].mean(axis=(1, 2)),
        "margin": images[:, 0, SIDE // 2],
        "black": (images == 0).mean(axis=(1, 2)),
        "rough": (np.diff(images, axis=2) ** 2).mean(axis=(1, 2)),
    }


@pytest.mark.parametrize(
    "changes",
    [
        USUAL,
        replace(STILL, brightness=0.3, contrast=0.5),
        replace(STILL, blur=2.0, blur_chance=0.7),
        replace(STILL, gamma=0.8),
        replace(STILL, noise=0.2),
        replace(STILL, rotation=20.0, shear=30.0),
        replace(STILL, translation=0.1, scale=0.2, flip=0.3),
        replace(STILL, crop=0.5),
        replace(STILL, erasing_chance=0.9),
    ],
)
def test_batches_are_changed_as_single_images_are(changes: Augmentation) -> None:
    """Means and variances differ by at most 4.5 of their standard errors.

    Bilinear weights of OpenCV are multiples of 1/32: 0.001 is allowed for that.
    """
    # corners are small: more images show them
    images, image = (2500 if changes.erasing_chance == 0.9 else 600), 0.3 + 0.5 * block()
    single = [
        augment(image, block()[None], changes, np.random.default_rng(n)) for n in range(images)
    ]
    change = BatchAugmentation(changes, (0, 1), images, SIDE, "cpu")
    batch = torch.from_numpy(image).repeat(images, 1, 1)
    masks = torch.from_numpy(block()).repeat(images, 1, 1, 1)
    changed, moved = change(batch, masks, torch.arange(images))
    ones = statistics(
        np.stack([one for one, _ in single]), np.stack([mask[0] for _, mask in single])
    )
    others = statistics(changed.numpy(), moved[:, 0].numpy())
    for name, values in ones.items():
        for power in (1, 2):
            first, second = ((each - values.mean()) ** power for each in (values, others[name]))
            error = np.sqrt((first.var() + second.var()) / images)
            assert abs(first.mean() - second.mean()) < 4.5 * error + 0.001**power, (name, power)


@pytest.mark.parametrize("changes", [Augmentation(), STRONG, STILL])
@pytest.mark.parametrize("size", [32, 96])
def test_an_augmented_batch_keeps_its_shapes_and_range(changes: Augmentation, size: int) -> None:
    batch, masks = torch.rand(6, size, size), torch.rand(6, 3, 24, 24)
    change = BatchAugmentation(changes, (0, 1), 6, size, "cpu")
    changed, moved = change(batch, masks, torch.arange(6))
    assert (changed.shape, moved.shape) == (batch.shape, masks.shape)
    assert changed.dtype == moved.dtype == torch.float32
    lowest, highest = min(changed.min(), moved.min()), max(changed.max(), moved.max())
    assert 0 <= lowest <= highest <= 1 + 1e-6  # weights of an interpolation add up to almost 1


def test_augmentation_without_strength_changes_nothing() -> None:
    image = drawn_image(0, SIDE, SIDE).astype(np.float32) / 255
    changed, masks = augmented(STILL, image, 3)
    for one in (*changed, *masks[:, 0]):
        np.testing.assert_allclose(one, image, atol=1e-4)


# ---- Masks follow -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        replace(STILL, flip=1.0),
        replace(STILL, rotation=20.0, translation=0.1, scale=0.2, shear=10.0),
        replace(STILL, crop=0.5),
        replace(STILL, elastic=60.0, elastic_chance=1.0),
    ],
)
def test_masks_move_as_their_images_do(changes: Augmentation) -> None:
    """A white block and its mask, of half the resolution, stay on each other."""
    image = np.zeros((128, 128), np.float32)
    image[30:60, 70:100] = 1
    batch = torch.from_numpy(image).repeat(20, 1, 1)
    change = BatchAugmentation(changes, (0, 1), 20, 128, "cpu")
    changed, moved = change(batch, batch[:, None, ::2, ::2], torch.arange(20))
    for one, mask in zip(changed, moved[:, 0], strict=True):
        assert not torch.allclose(one, batch[0], atol=0.1)
        seen, said = torch.nn.functional.avg_pool2d(one[None], 2)[0] > 0.5, mask > 0.5
        assert (seen & said).sum() > 0.9 * (seen | said).sum()


# ---- Reproducible -------------------------------------------------------------------------------


def test_a_change_depends_on_seed_epoch_and_image_alone() -> None:
    images, masks = torch.rand(8, SIDE, SIDE), torch.rand(8, 2, 16, 16)
    every = torch.arange(8)

    def changed(key: tuple[int, int], index: Tensor) -> Tensor:
        change = BatchAugmentation(STRONG, key, 8, SIDE, "cpu")
        return change(images[index], masks[index], index)[0]

    whole = changed((0, 1), every)
    torch.rand(7)  # whatever else draws random numbers
    some = torch.tensor([6, 1, 3])  # of another batch, in another order
    torch.testing.assert_close(changed((0, 1), some), whole[some], rtol=0, atol=1e-5)
    for other in ((0, 2), (1, 1)):
        assert not torch.allclose(changed(other, every), whole, atol=0.1)


def test_no_two_images_of_an_epoch_are_changed_alike() -> None:
    images, _ = augmented(replace(STRONG, erasing_chance=0.0), 0.3 + 0.5 * block(), 30)
    distance = torch.cdist(images.flatten(1), images.flatten(1))
    assert distance[~torch.eye(30, dtype=torch.bool)].min() > 0.5


def test_an_elastic_change_is_as_strong_at_every_size() -> None:
    """Displacements are the same share of the image, whatever its pixels: seen on a grey ramp.

    Of ten images at the largest size, the inner quarter has more than 1,000 independent cells (of
    5 pixels at 224), so that a standard deviation is known to 3 %.
    """
    bent = replace(STILL, elastic=60.0, elastic_chance=1.0)
    spread = {}
    for size in (64, 128, 256):
        ramp = np.tile(np.linspace(0, 1, size, dtype=np.float32), (size, 1))
        inner = slice(size // 4, -size // 4)
        single = [augment(ramp, ramp[None], bent, np.random.default_rng(n))[0] for n in range(10)]
        batch = augmented(bent, ramp, 10)[0].numpy()
        for name, moved in (("single", np.stack(single)), ("batch", batch)):
            spread[name, size] = float((moved - ramp)[:, inner, inner].std())
    assert max(spread.values()) < 1.3 * min(spread.values())
    assert spread["batch", 256] == pytest.approx(spread["single", 256], rel=0.15)
    assert min(spread.values()) > 0.003
