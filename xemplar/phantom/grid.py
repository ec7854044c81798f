"""Projection grid of the image in the patient's frame, and the solids and ribbons drawn on it."""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.phantom.person import Anatomy

Map = npt.NDArray[np.floating[Any]]
Points = npt.NDArray[np.float64]
Canvas = npt.NDArray[np.uint8]

FIELD_MM = 400.0
"""Field of view, edge to edge, in millimetres before magnification."""


@dataclass(frozen=True)
class ProjectionGrid:
    """Pixel grid in patient coordinates; x and y are (size, size) maps in millimetres."""

    body: Anatomy
    size: int
    mm: float
    x: Map
    y: Map

    def ellipsoid(
        self,
        centre: tuple[float, float, float],
        half: tuple[float, float, float],
        lean: float = 0.0,
    ) -> Map:
        """Compute half chord lengths of an ellipsoid; ``lean`` correlates its x and y (-1..1)."""
        cx = centre[0] + centre[2] * self.body.yaw
        cy = centre[1] + centre[2] * self.body.pitch
        out = np.zeros_like(self.x)
        part = self.around([[cx, cy]], 1.05 * max(half[:2]))
        u, v = (self.x[part] - cx) / half[0], (self.y[part] - cy) / half[1]
        out[part] = dome((u * u - 2 * lean * u * v + v * v) / (1 - lean**2), half[2])
        return out

    def capsule(self, a: tuple[float, float], b: tuple[float, float], radius: float) -> Map:
        """Compute half chord lengths of a rod with round ends from a to b."""
        out = np.zeros_like(self.x)
        part = self.around([a, b], radius)
        dx, dy = b[0] - a[0], b[1] - a[1]
        x, y = self.x[part] - a[0], self.y[part] - a[1]
        t = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0, 1)
        u, v = x - t * dx, y - t * dy
        out[part] = dome((u * u + v * v) / radius**2, radius)
        return out

    def around(self, points: npt.ArrayLike, reach: float) -> tuple[slice, slice]:
        """Compute the rows and columns that contain everything within ``reach`` of the points."""
        at = self.path(points)
        low = np.clip(np.floor(at.min(0) - reach / self.mm), 0, self.size).astype(int)
        high = np.clip(np.ceil(at.max(0) + reach / self.mm) + 1, 0, self.size).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def path(self, points: npt.ArrayLike, z: float = 0.0) -> Points:
        """Map patient millimetres (..., 2) at a depth to columns and rows (..., 2) of the image."""
        b = self.body
        c, s = math.cos(b.roll), math.sin(b.roll)
        p = np.asarray(points, np.float64) + np.array([z * b.yaw, z * b.pitch])
        turned = p @ np.array([[c, s], [-s, c]]) + b.shift
        return np.asarray(turned / self.mm + (self.size - 1) / 2)

    def ribbons(self, canvas: Canvas, paths: Points, wide: float, grey: int) -> None:
        """Fill bands, `wide` millimetres across, along paths of pixels (n, k, 2), in place."""
        along = np.gradient(paths, axis=1)
        side = np.stack([-along[..., 1], along[..., 0]], -1)
        side *= wide / self.mm / 2 / np.linalg.norm(side, axis=-1, keepdims=True)
        for band in fixed(np.concatenate([paths + side, (paths - side)[:, ::-1]], 1)):
            cv2.fillPoly(canvas, [band], grey, cv2.LINE_AA, 4)


def fixed(points: Points) -> npt.NDArray[np.int32]:
    """Convert to OpenCV's fixed point with 4 fractional bits, for sub-pixel drawing."""
    return np.round(points * 16).astype(np.int32)


def grid_of(body: Anatomy, size: int) -> ProjectionGrid:
    """Make the grid of an image with ``size`` pixels along each edge."""
    mm = FIELD_MM / body.magnification / size
    line = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * np.float32(mm)
    x, y = line[None, :] - np.float32(body.shift[0]), line[:, None] - np.float32(body.shift[1])
    c, s = np.float32(np.cos(body.roll)), np.float32(np.sin(body.roll))
    return ProjectionGrid(body, size, mm, x * c + y * s, y * c - x * s)


def dome(r2: Map, half: float) -> Map:
    """Compute the half chord of a round solid: half * sqrt(1 - r2), 0 outside."""
    inside = np.maximum(np.float32(1) - r2, np.float32(0))
    return np.asarray(np.sqrt(inside, out=inside) * np.float32(half))


def overlap(a: Map, b: Map, z: float) -> Map:
    """Compute the overlap length of the intervals [-a, a] and [z - b, z + b]."""
    return np.asarray(np.maximum(np.minimum(a, z + b) - np.maximum(-a, z - b), 0))


def smooth(t: Map) -> Map:
    """Smooth step: 0 below 0, 1 above 1."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def clouds(rng: np.random.Generator, size: int, cells: int) -> Map:
    """Sample smooth noise, (size, size), mean 0 and deviation about 1, independent of the size."""
    grid = rng.standard_normal((cells, cells), np.float32)
    return np.asarray(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC))
