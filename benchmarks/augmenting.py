"""Cost of augmentation against a chain of torchvision's transforms, in one run.

Both do the same to an image and its mask: crop, affine and elastic change, flip, brightness,
contrast, blur. torchvision's chain reads the image once for each change of place. They take turns,
on one thread, as the speed of a shared machine drifts.

    python -m benchmarks.augmenting --size 224
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from xemplar_trainer.augment import augment
from xemplar_trainer.settings import Augmentation


def chain(settings: Augmentation, size: int) -> v2.Transform:
    """Torchvision's transforms of the same strength."""
    elastic = v2.ElasticTransform(alpha=settings.elastic * size / 224, sigma=5.0)
    shift = (settings.translation, settings.translation)
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(settings.crop, 1.0), ratio=(0.9, 1.1)),
            v2.RandomAffine(
                degrees=settings.rotation,
                translate=shift,
                scale=(1 - settings.scale, 1 + settings.scale),
                shear=settings.shear,
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.RandomApply([elastic], p=settings.elastic_chance),
            v2.RandomHorizontalFlip(settings.flip),
            v2.ColorJitter(brightness=settings.brightness, contrast=settings.contrast),
            v2.RandomApply([v2.GaussianBlur(5, (0.1, settings.blur))], p=settings.blur_chance),
        ]
    )


def milliseconds(change: Callable[[], object], images: int) -> float:
    """Measures the mean time of one image."""
    began = time.process_time()
    for _ in range(images):
        change()
    return (time.process_time() - began) / images * 1000


def main() -> None:
    """Take turns, print milliseconds of processor time and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=224, help="side of the image in pixels")
    parser.add_argument("--images", type=int, default=100, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings, size = Augmentation(), arguments.size
    generator = np.random.default_rng(0)
    image = generator.random((size, size), np.float32)
    masks = generator.random((1, 64, 64), np.float32)
    transforms = chain(settings, size)
    image = tv_tensors.Image(image[None])
    mask = tv_tensors.Mask(generator.random((1, size, size), np.float32))
    ways = {
        "ours": lambda: augment(image, masks, settings, generator),
        "torchvision": lambda: transforms(image, mask),
    }
    for change in ways.values():
        milliseconds(change, 10)
    ratios = []
    for _ in range(arguments.rounds):
        spent = {name: milliseconds(change, arguments.images) for name, change in ways.items()}
        ratios.append(spent["torchvision"] / spent["ours"])
        print(*(f"{name} {value:.1f} ms" for name, value in spent.items()), f"{ratios[-1]:.1f}")
    print(f"{platform.processor() or platform.machine()}, one thread, {size} pixels")
    print(f"ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
