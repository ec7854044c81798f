"""Cost of augmenting batches on a device: here, by Kornia and by torchvision, in one run.

    pip install kornia
    python -m benchmarks.augmenting_batches --device cuda

All do the same to images and masks: crop, affine and elastic change, flip, brightness, contrast,
blur. Kornia draws numbers for each image and interpolates once for each change of place;
torchvision draws one set for the whole batch, so that it is no replacement. They take turns.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from xemplar_trainer.augment_batch import BatchAugmentation
from xemplar_trainer.settings import Augmentation

from benchmarks.augmenting import chain


def kornia_chain(settings: Augmentation, size: int) -> Callable[..., Any]:
    """Builds Kornia's augmentations of the same strength."""
    kornia: Any = import_module("kornia.augmentation")
    sigma, shift = 5.0 * size / 224, (settings.translation, settings.translation)
    wide = 2 * round(4 * sigma) + 1
    strength = settings.elastic / 224 * size / 224
    return kornia.AugmentationSequential(
        kornia.RandomResizedCrop((size, size), scale=(settings.crop, 1.0), ratio=(0.9, 1.1), p=1.0),
        kornia.RandomAffine(
            settings.rotation,
            shift,
            (1 - settings.scale, 1 + settings.scale),
            settings.shear,
            p=1.0,
        ),
        kornia.RandomElasticTransform(
            (wide, wide), (sigma, sigma), (strength, strength), p=settings.elastic_chance
        ),
        kornia.RandomHorizontalFlip(p=settings.flip),
        kornia.RandomBrightness((1 - settings.brightness, 1 + settings.brightness), p=1.0),
        kornia.RandomContrast((1 - settings.contrast, 1 + settings.contrast), p=1.0),
        kornia.RandomGaussianBlur((5, 5), (0.1, settings.blur), p=settings.blur_chance),
        data_keys=["input", "mask"],
    )


def milliseconds(change: Callable[[], object], images: int, device: str) -> float:
    """Measures the time of a batch, divided by its images."""
    began = time.perf_counter()
    change()
    if device != "cpu":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / images * 1000


def main() -> None:
    """Take turns, print milliseconds of an image and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--images", type=int, default=32, help="in a batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    settings, size, count, device = Augmentation(), chosen.size, chosen.images, chosen.device
    images = torch.rand(count, size, size, device=device)
    masks = torch.rand(count, 1, size, size, device=device)
    index = torch.arange(count, device=device)
    ours = BatchAugmentation(settings, (0, 1), count, size, device)
    kornia, torchvision = kornia_chain(settings, size), chain(settings, size)
    ways: dict[str, Callable[[], object]] = {
        "here": lambda: ours(images, masks, index),
        "Kornia": lambda: kornia(images[:, None], masks),
        "torchvision, one for all": lambda: torchvision(images[:, None], masks),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(chosen.rounds + 1):
        for name, change in ways.items():
            taken = milliseconds(change, count, device)
            if number:  # the first round warms up
                spent[name].append(taken)
    machine = platform.machine() if device == "cpu" else torch.cuda.get_device_name(device)
    print(f"{machine}, {torch.get_num_threads()} thread(s), batches of {count}, {size} pixels")
    for name, times in spent.items():
        ratios = [one / own for one, own in zip(times, spent["here"], strict=True)]
        print(
            f"{name}: {statistics.median(times):.2f} ms an image, {statistics.median(ratios):.1f} "
            f"times ({min(ratios):.1f} to {max(ratios):.1f})"
        )


if __name__ == "__main__":
    main()
