"""The poster's augmentations, by torchvision's transforms v2."""

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from trainer.settings import Augmentation


def augmentation(settings: Augmentation, size: int) -> v2.Transform:
    """Random changes of a film and its plans, the same for both.

    They are a `tv_tensors.Image` float (1, size, size) in [0, 1] and a `tv_tensors.Mask`
    (n, size, size), and keep their shapes and ranges.

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
            v2.Lambda(_clamp, tv_tensors.Image),
            v2.RandomApply([v2.Lambda(hide_edges, tv_tensors.Image)], p=settings.hide),
        ]
    )


def hide_edges(film: Tensor) -> Tensor:
    """Cover each corner with a chance of 0.6, and one margin, by black or some grey.

    Args:
        film: float (1, s, s).

    Returns:
        A copy; corners up to a quarter of the side are covered, a margin up to a tenth.
    """
    covered, side = film.clone(), film.shape[-1]

    def drawn(up_to: float) -> int:
        return int(torch.randint(1, max(2, int(up_to * side)), ()))

    def grey() -> float:
        return 0.0 if torch.rand(()) < 0.6 else float(torch.rand(()))

    for rows in (slice(None, drawn(0.25)), slice(-drawn(0.25), None)):
        for columns in (slice(None, drawn(0.25)), slice(-drawn(0.25), None)):
            if torch.rand(()) < 0.6:
                covered[:, rows, columns] = grey()
    margin = drawn(0.1)
    edge = slice(None, margin) if torch.rand(()) < 0.5 else slice(-margin, None)
    if torch.rand(()) < 0.5:
        covered[:, edge] = grey()
    else:
        covered[:, :, edge] = grey()
    return covered


def _clamp(film: tv_tensors.Image) -> tv_tensors.Image:
    # wrapped again, for what comes after would not take a plain tensor for a film
    clamped: tv_tensors.Image = tv_tensors.wrap(torch.clamp(film, 0, 1), like=film)
    return clamped
