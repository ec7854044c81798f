"""The poster's augmentations, by torchvision's transforms v2."""

import torch
from torch import Tensor
from torchvision.transforms import v2

from trainer.settings import Augmentation


def augmentation(settings: Augmentation, size: int) -> v2.Transform:
    """Random changes of one film: float (1, size, size) in [0, 1] -> the same shape and range.

    Geometry first (crop, affine with rotation, elastic, flip), then grey values and sharpness, so
    that the blur is not undone by interpolation. What comes in from outside the film is black.
    """
    elastic = v2.ElasticTransform(alpha=settings.elastic * size / 224, sigma=5.0)
    return v2.Compose(
        [
            v2.RandomResizedCrop(
                size, scale=(settings.crop, 1.0), ratio=(0.9, 1.1), antialias=True
            ),
            v2.RandomAffine(
                degrees=settings.rotation,
                translate=(settings.translation, settings.translation),
                scale=(1 - settings.scale, 1 + settings.scale),
                shear=settings.shear,
                interpolation=v2.InterpolationMode.BILINEAR,
            ),
            v2.RandomApply([elastic], p=settings.elastic_chance),
            v2.RandomHorizontalFlip(settings.flip),
            v2.ColorJitter(brightness=settings.brightness, contrast=settings.contrast),
            v2.RandomApply(
                [v2.GaussianBlur(kernel_size=5, sigma=(0.1, max(settings.blur, 0.11)))],
                p=settings.blur_chance,
            ),
            v2.Lambda(_clamp),
        ]
    )


def _clamp(film: Tensor) -> Tensor:
    return torch.clamp(film, 0, 1)
