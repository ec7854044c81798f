"""Findings: lesions of known severity in a hemithorax, with their bounding boxes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from xemplar.phantom.grid import Map, ProjectionGrid, clouds, dome, smooth
from xemplar.phantom.person import LOCATION
from xemplar.phantom.thorax import AERATED, Side, wall

FINDINGS: tuple[str, ...] = (
    "Cardiomegaly",
    "Consolidation",
    "Effusion",
    "Mass",
    "Nodule",
    "Pneumothorax",
)

Box = tuple[float, float, float, float]

_SOLID = 1.25  # density of a nodule or mass, some of it calcified
_VISIBLE_MM = 3.0  # trimmed from the invisible fringe of a lesion without a hard edge


@dataclass(frozen=True)
class PlacedFinding:
    """A lesion with its severity and bounding box.

    Attributes:
        finding: One of `FINDINGS`.
        severity: In (0, 1]; more is larger and denser.
        box: x, y, width, height in pixels of the image, tight around the lesion's projection. For
            cardiomegaly it is the heart, for pneumothorax the air outside the lung.
    """

    finding: str
    severity: float
    box: Box


def _trimmed(lesion: Map) -> Map:
    """Trim the faint fringe of a lesion, in millimetres of water."""
    return np.asarray(np.maximum(lesion - np.float32(_VISIBLE_MM), 0))


def _spot(
    side: Side, grid: ProjectionGrid, rng: np.random.Generator, low: float
) -> tuple[float, float]:
    """Sample a position in a lung, (x, y) in the patient's frame."""
    b = grid.body
    y = b.apex + rng.uniform(0.24, low) * (b.base - b.apex)
    outer, inner, _ = (float(v[0]) for v in wall(b, np.array([y], np.float32)))
    u = rng.uniform(0.4, 0.7)
    return side.sign * (inner + u * (outer - inner)), y


def _lump(
    grid: ProjectionGrid,
    side: Side,
    severity: float,
    rng: np.random.Generator,
    sizes: tuple[float, float],
) -> tuple[Side, Map]:
    """Add a solid, slightly lobulated sphere; severity spans the diameters in millimetres."""
    cx, cy = _spot(side, grid, rng, 0.6)
    radius = (sizes[0] + severity * (sizes[1] - sizes[0])) / 2
    x, y = grid.x - np.float32(cx), grid.y - np.float32(cy)
    lobes, phase, rough = int(rng.integers(2, 6)), rng.uniform(0, 6.28), rng.uniform(0.0, 0.1)
    turn = np.cos(lobes * np.arctan2(y, x) + np.float32(phase))
    edge = np.float32(radius) * (1 - np.float32(rough / 2) * (1 - turn))
    solid = np.minimum(2 * dome((x * x + y * y) / edge**2, radius), side.room)
    gain = np.maximum(solid * (_SOLID - side.held / np.maximum(side.room, 1)), 0)
    return replace(side, held=side.held + gain), gain


def _consolidation(
    grid: ProjectionGrid, side: Side, severity: float, rng: np.random.Generator
) -> tuple[Side, Map]:
    """Fill alveoli in a cloud with fluffy edges that obscures the vessels."""
    cx, cy = _spot(side, grid, rng, 0.78)
    wide = 22 + 40 * severity
    stretch = rng.uniform(0.75, 1.25)
    x, y = (grid.x - np.float32(cx)) / wide, (grid.y - np.float32(cy)) / (wide * stretch)
    fluff = sum(k * clouds(rng, grid.size, n) for k, n in ((0.17, 9), (0.1, 18), (0.05, 40)))
    share = smooth((1 - np.sqrt(x * x + y * y) + fluff) / 0.8) * (0.35 + 0.5 * severity)
    gain = _trimmed(np.maximum(side.room - side.held, 0) * share)
    return replace(side, held=side.held + gain), gain


def _effusion(
    grid: ProjectionGrid, side: Side, severity: float, rng: np.random.Generator
) -> tuple[Side, Map]:
    """Add basal pleural fluid with a meniscus along the chest wall."""
    height = 45 + 115 * severity
    flat = 0.10 + 0.55 * severity + rng.uniform(0, 0.08)
    level = grid.body.base + 12 - height * (flat + (1 - flat) * np.clip(side.u, 0, 1) ** 3)
    share = smooth((grid.y - level) / 22)
    gain = _trimmed(np.maximum(side.room - side.held, 0) * share)
    return replace(side, held=side.held + gain), gain


def _pneumothorax(grid: ProjectionGrid, side: Side, severity: float) -> tuple[Side, Map]:
    """Add pleural air: the lung collapses towards hilum and base behind a visible pleural line."""
    b = grid.body
    hilum = grid.path([side.sign * 32, b.base + 10])
    col, row = np.meshgrid(*(np.arange(grid.size, dtype=np.float32) - np.float32(h) for h in hilum))
    tall = (b.base - b.apex) / grid.mm
    shrunk = (0.10 + 0.42 * severity) * np.clip(-row / (tall * (1 - 0.8 * severity)), 0, 1)
    col = np.where(side.sign * col > 0, col / (1 - shrunk), col) + np.float32(hilum[0])
    row = np.where(row < 0, row / (0.95 - 0.28 * severity), row) + np.float32(hilum[1])
    lung, held = (cv2.remap(m, col, row, cv2.INTER_LINEAR) for m in (side.room, side.held))
    inside = cv2.GaussianBlur(np.clip(lung / 4, 0, 1), (0, 0), 0.9 / grid.mm)
    density = held / np.maximum(lung, 1) / (1 - 0.3 * severity)
    air = _trimmed(side.room * (1 - inside))
    pleura = np.minimum(5 * 4 * inside * (1 - inside), side.room)
    kept = side.room * inside * np.clip(density, AERATED, 1) + pleura
    return replace(side, held=kept), air


def _lesion(
    grid: ProjectionGrid, side: Side, finding: str, severity: float, rng: np.random.Generator
) -> tuple[Side, Map]:
    """Add a lesion to a hemithorax; also returns its thickness (size, size)."""
    match finding:
        case "Consolidation":
            return _consolidation(grid, side, severity, rng)
        case "Effusion":
            return _effusion(grid, side, severity, rng)
        case "Mass":
            return _lump(grid, side, severity, rng, (36, 66))
        case "Nodule":
            return _lump(grid, side, severity, rng, (9, 28))
        case _:
            return _pneumothorax(grid, side, severity)


def add_lesions(
    grid: ProjectionGrid, sides: tuple[Side, Side], wanted: Mapping[str, float]
) -> tuple[list[Side], list[PlacedFinding]]:
    """Add lesions to the hemithoraces; also returns their bounding boxes.

    Effusion and pneumothorax are on opposite sides. Other lesions avoid the side of the
    pneumothorax, else of the effusion. Otherwise a lesion's position depends only on seed and
    finding.
    """
    out, placed = list(sides), []
    wet = int(np.random.default_rng([grid.body.seed, LOCATION]).integers(2))
    for finding in ("Pneumothorax", "Consolidation", "Mass", "Nodule", "Effusion"):
        if finding not in wanted:
            continue
        own = LOCATION + 1 + FINDINGS.index(finding)
        rng = np.random.default_rng([grid.body.seed, own])
        at = int(rng.integers(2))
        if finding == "Effusion" or (finding != "Pneumothorax" and "Pneumothorax" in wanted):
            at = wet
        elif finding == "Pneumothorax" or "Effusion" in wanted:
            at = 1 - wet
        out[at], lesion = _lesion(grid, out[at], finding, wanted[finding], rng)
        placed.append(PlacedFinding(finding, wanted[finding], box_of(lesion)))
    return out, placed


def box_of(lesion: Map) -> Box:
    """Compute the tight bounding box of a lesion's thickness map."""
    x, y, w, h = cv2.boundingRect((lesion > 0).astype(np.uint8))
    return float(x), float(y), float(w), float(h)
