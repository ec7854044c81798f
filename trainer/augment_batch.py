"""Augmentation of whole batches on their device, each image by random numbers of its own.

The distribution is that of `trainer.augment.augment`, which changes one image at a time on the
processor; docs/decisions/0035 says why no library does this. All geometric transforms of a batch
are composed into one sampling grid, so that images and masks are interpolated once.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .augment import SMOOTH
from .augmentation import Augmentation

COLUMNS = 48
"""Random numbers that each image has in an epoch; not all are used."""

FIELD = 512
"""Side in pixels of the random fields of which the images of an epoch take windows.

Numbers for each pixel of each image would take longer to draw than the network takes to learn.
"""


class BatchAugmentation:
    """Augments batches of one epoch.

    All random numbers are drawn on the processor by the key alone, a row for each image: so they
    are the same on every device, in every process and whatever batch an image falls into.

    Args:
        settings: strengths and probabilities.
        key: (seed, epoch).
        images: number N of images.
        size: side s of the images in pixels.
        device: of the batches.
    """

    def __init__(
        self, settings: Augmentation, key: tuple[int, int], images: int, size: int, device: str
    ) -> None:
        self.settings = settings
        # the sampler draws from the key itself
        generator = np.random.default_rng(np.random.SeedSequence(key, spawn_key=(1,)))
        rows = generator.random((images, COLUMNS), np.float32)
        self._rows = torch.from_numpy(rows).to(device)
        field = torch.from_numpy(2 * generator.random((2, FIELD, FIELD), np.float32) - 1)
        self._displacement = _smoothed(field.to(device), SMOOTH * size)
        grain = generator.standard_normal((1, FIELD, FIELD), np.float32)
        self._grain = torch.from_numpy(grain).to(device)

    def __call__(self, images: Tensor, masks: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Augments images and their masks; geometric transforms are the same for both.

        Pixels from outside the image are black, and show no finding.

        Args:
            images: float (B, s, s) in [0, 1].
            masks: float (B, m, p, p) in [0, 1].
            index: int (B,), of the images among all N.

        Returns:
            Images and masks, of the same shapes and ranges.
        """
        settings, random = self.settings, _Random(self._rows[index])
        grid = self._grid(random, images.shape[-1])
        images = F.grid_sample(images[:, None], grid, align_corners=False)[:, 0]
        coarse = F.interpolate(
            grid.permute(0, 3, 1, 2), size=masks.shape[-2:], mode="bilinear", align_corners=False
        )
        masks = F.grid_sample(masks, coarse.permute(0, 2, 3, 1), align_corners=False)
        images = images * random.about_one(settings.brightness)[:, None, None]
        mean = images.mean(dim=(1, 2), keepdim=True)
        images = (images - mean) * random.about_one(settings.contrast)[:, None, None] + mean
        if settings.gamma:
            power = random.uniform(-settings.gamma, settings.gamma).exp()
            images = images.clamp(0, 1) ** power[:, None, None]
        images = _blurred(images, random, settings)
        if settings.noise:
            strength = random.uniform(0, settings.noise)[:, None, None]
            images = images + strength * _window(self._grain, random, images.shape[-1])[..., 0]
        images = images.clamp(0, 1)
        return _margins_erased(images, random, settings.erasing_chance), masks

    def _grid(self, random: "_Random", size: int) -> Tensor:
        """Draws sampling grids (B, s, s, 2) of source positions (x, y), -1 to 1 over an image.

        See `trainer.augment`: a random crop under an affine transform, perhaps mirrored and
        elastically deformed.
        """
        settings = self.settings
        share = random.uniform(settings.crop, 1)
        limits = (0.9, 1.1) if settings.crop < 1 else (1.0, 1.0)
        stretch = random.uniform(math.log(limits[0]), math.log(limits[1])).exp()
        crop = torch.stack([share * stretch, share / stretch], dim=1).clamp(max=1).sqrt()
        centre = 0.5 + (1 - crop) * random.pair(-0.5, 0.5)
        angle, slant = (
            torch.deg2rad(random.uniform(-v, v)) for v in (settings.rotation, settings.shear)
        )
        cos, sin, tan = angle.cos(), angle.sin(), slant.tan()
        turn = torch.stack([cos, cos * tan - sin, sin, sin * tan + cos], dim=1).view(-1, 2, 2)
        turn = turn / random.about_one(settings.scale)[:, None, None]
        centre = centre + crop * random.pair(-settings.translation, settings.translation)
        mirror = torch.where(random.happens(settings.flip), -1.0, 1.0)
        matrix = crop[:, :, None] * turn
        matrix = torch.stack([matrix[:, :, 0] * mirror[:, None], matrix[:, :, 1]], dim=2)
        theta = torch.cat([matrix, (2 * centre - 1)[:, :, None]], dim=2)
        grid = F.affine_grid(theta, [len(theta), 1, size, size], align_corners=False)
        if not settings.elastic or not settings.elastic_chance:
            return grid
        # that of `trainer.augment`, doubled, for a side is 2 long here
        strength = 2 * settings.elastic / (2 * 224) * size / 224
        bent = strength * random.happens(settings.elastic_chance)
        return grid + bent[:, None, None, None] * _window(self._displacement, random, size)


class _Random:
    """Random numbers of a batch, taken column by column as a generator would draw them."""

    def __init__(self, rows: Tensor) -> None:
        self._columns = iter(rows.unbind(dim=1))

    def uniform(self, low: float, high: float) -> Tensor:
        """Draws (B,) between two limits."""
        return low + (high - low) * next(self._columns)

    def pair(self, low: float, high: float) -> Tensor:
        """Draws (B, 2) between two limits."""
        return torch.stack([self.uniform(low, high), self.uniform(low, high)], dim=1)

    def about_one(self, spread: float) -> Tensor:
        """Draws (B,) from 1 - spread to 1 + spread."""
        return self.uniform(1 - spread, 1 + spread)

    def happens(self, chance: float) -> Tensor:
        """Draws bool (B,), True with a probability."""
        return next(self._columns) < chance


def _window(field: Tensor, random: _Random, size: int) -> Tensor:
    """Cuts windows (B, s, s, n) out of a field (n, `FIELD`, `FIELD`), periodic at its edges."""
    within = torch.arange(size, device=field.device)
    rows, columns = ((random.uniform(0, FIELD).long()[:, None] + within) % FIELD for _ in range(2))
    return field[:, rows[:, :, None], columns[:, None, :]].permute(1, 2, 3, 0)


def _smoothed(field: Tensor, sigma: float) -> Tensor:
    """Smooths a periodic field (2, n, n) by a Gaussian, in the frequency domain."""
    count, device = field.shape[-1], field.device
    down, across = (
        frequencies(count, device=device) for frequencies in (torch.fft.fftfreq, torch.fft.rfftfreq)
    )
    kept = torch.exp(-2 * (math.pi * sigma) ** 2 * (down[:, None] ** 2 + across**2))
    smoothed: Tensor = torch.fft.irfft2(torch.fft.rfft2(field) * kept, s=(count, count))
    return smoothed


def _blurred(images: Tensor, random: _Random, settings: Augmentation) -> Tensor:
    """Blurs some images by a Gaussian over 5 x 5 pixels."""
    if not settings.blur_chance or settings.blur <= 0.1:
        return images
    # at 0.1 pixels the kernel is 1 in the middle and 0 beside it
    sigma = torch.where(
        random.happens(settings.blur_chance), random.uniform(0.1, settings.blur), 0.1
    )
    taps = torch.arange(-2, 3, device=images.device)
    kernel = torch.exp(-(taps**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True))[:, None, None]
    padded = F.pad(images[None], (2, 2, 2, 2), mode="reflect")
    count = len(images)
    across = F.conv2d(padded, kernel, groups=count)
    return F.conv2d(across, kernel.transpose(2, 3), groups=count)[0]


def _margins_erased(images: Tensor, random: _Random, chance: float) -> Tensor:
    """Covers corners and a margin of some images, see `trainer.augment.erase_margins`."""
    if not chance:
        return images
    side, erased = images.shape[-1], random.happens(chance)[:, None]
    from_start = torch.arange(side, device=images.device)
    from_end = from_start.flip(0)

    def near(edge: Tensor, up_to: float) -> Tensor:
        """Draws bool (B, s), True up to a random distance from an edge."""
        wide = 1 + random.uniform(0, max(2, int(up_to * side)) - 1).floor()
        return edge < wide[:, None]

    def covered(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        grey = torch.where(random.happens(0.6), 0.0, random.uniform(0, 1))
        region = rows[:, :, None] & columns[:, None, :]
        return torch.where(region, grey[:, None, None], images)

    for vertical in (from_start, from_end):
        rows = near(vertical, 0.25)
        for horizontal in (from_start, from_end):
            columns = near(horizontal, 0.25) & random.happens(0.6)[:, None] & erased
            images = covered(images, rows, columns)
    edge = torch.where(random.happens(0.5)[:, None], from_end, from_start)
    margin, lies = near(edge, 0.1) & erased, random.happens(0.5)[:, None]
    return covered(images, margin | ~lies, margin | lies)
