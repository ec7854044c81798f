"""Synthetic chest radiographs with exact ground truth, for the demo and for tests.

An analytic thorax is projected along parallel rays with Beer-Lambert attenuation. Organs are solids
whose chords have closed forms; bones and vessels are drawn as ribbons of known thickness.
A film is read in this order::

    seed -> person -> thickness maps -> lesions -> line integrals -> noise -> grey values

Frames: *patient* millimetres, x to the patient's left (the picture's right), y towards the feet,
z towards the back, origin at the hila; *pixels*, column and row of the film, (0, 0) at the top left
corner of the top left pixel. Every map is float32 of shape (size, size) in millimetres of water
unless it says otherwise. Anatomy, noise and each finding draw from random streams of their own, so
two phantoms of one seed differ in their lesions only.
"""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.artefact import new_folder
from xemplar.errors import ConfigurationError
from xemplar.findings import NO_FINDING

FINDINGS: tuple[str, ...] = (
    "Cardiomegaly",
    "Consolidation",
    "Effusion",
    "Mass",
    "Nodule",
    "Pneumothorax",
)

Map = npt.NDArray[np.floating[Any]]
Points = npt.NDArray[np.float64]
Canvas = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

_FIELD_MM = 400.0  # what the film shows of the patient, edge to edge, before magnification
_SIZES = (64, 2048)
_WATER, _BONE = 0.021, 0.052  # attenuation of a chest beam, 1/mm
_AERATED = 0.26  # density of healthy lung, water = 1
_SOLID = 1.25  # density of a nodule or mass, some of it calcified
_VISIBLE_MM = 3.0  # taken off the fringe of a lesion without a hard edge: nobody would see it
_SPLITS = ("train", "train", "train", "val", "train", "train", "test", "train", "train", "test")
_ANATOMY, _TEXTURE, _NOISE, _DRAW, _PLACE = range(5)  # random streams; each finding's own follow


@dataclass(frozen=True)
class PlacedFinding:
    """One lesion, where it is and how bad it is.

    Attributes:
        finding: One of `FINDINGS`.
        severity: In (0, 1]; more is larger and denser.
        box: x, y, width, height in pixels of the film, tight around the lesion's projection. For
            cardiomegaly it is the heart, for pneumothorax the air outside the lung.
    """

    finding: str
    severity: float
    box: Box


@dataclass(frozen=True)
class Phantom:
    """A synthetic film and the truth about it.

    Attributes:
        seed: What `phantom` was called with.
        pixels: (size, size) uint8, 0 = black = air, bone bright.
        findings: What it shows, in the order of `FINDINGS`.
        sex: "F" or "M".
        age: Years.
        view: "PA".
        pixel_mm: Millimetres in the patient per pixel.
        thorax_width: Largest inner width of the thorax in pixels: the heart's width divided by it
            is the cardiothoracic ratio.
    """

    seed: int
    pixels: npt.NDArray[np.uint8]
    findings: tuple[PlacedFinding, ...]
    sex: str
    age: int
    view: str
    pixel_mm: float
    thorax_width: float


@dataclass(frozen=True)
class _Anatomy:
    """A person and how they stood: millimetres and radians in the patient's frame."""

    seed: int
    sex: str
    age: int
    wide: float  # midline to the inside of the chest wall, at its widest
    apex: float  # y of the tops of the lungs
    base: float  # y of the costophrenic angles
    deep: float  # half depth of the lungs
    fat: float  # under the skin
    breast: float  # radius
    ratio: float  # cardiothoracic
    domes: tuple[float, float]  # heights above `base` of the hemidiaphragms, right and left
    ribs: float  # how far a rib falls from back to front
    mineral: float  # bone density, 1 = typical
    knob: float  # radius of the aortic arch
    elbow: float  # x of the elbows
    bubble: float  # radius of the gas in the stomach
    yaw: float
    roll: float
    pitch: float
    shift: tuple[float, float]
    magnification: float


def _person(seed: int) -> _Anatomy:
    r = np.random.default_rng([seed, _ANATOMY])
    female = bool(r.random() < 0.5)
    age = int(r.integers(19, 88))
    big = r.normal(0.95 if female else 1.04, 0.035)
    fat = float(np.clip(r.gamma(4, 4.0), 5, 40))
    base = r.normal(112, 9) * big
    right = r.normal(62, 5)
    return _Anatomy(
        seed=seed,
        sex="F" if female else "M",
        age=age,
        wide=r.normal(136, 4) * big,
        apex=r.normal(-122, 6) * big,
        base=base,
        deep=r.normal(84, 5) * big,
        fat=fat,
        breast=(r.uniform(52, 68) + 0.5 * fat) if female else 0.0,
        ratio=float(np.clip(r.normal(0.435 + 0.0004 * (age - 50), 0.02), 0.38, 0.485)),
        domes=(right, right - r.normal(11, 4)),
        ribs=r.normal(92, 10),
        mineral=r.normal(1.12 - 0.003 * age, 0.07),
        knob=r.normal(14 + 0.07 * age, 1.2),
        elbow=r.uniform(200, 300),
        bubble=r.uniform(0, 30),
        yaw=r.normal(0, 0.035),
        roll=r.normal(0, 0.02),
        pitch=r.normal(0.1, 0.08),
        shift=(r.normal(0, 7), r.normal(-30, 8)),
        magnification=r.normal(1.03, 0.03),
    )


@dataclass(frozen=True)
class _Frame:
    """The film's grid in patient coordinates; x and y are (size, size) maps in millimetres."""

    body: _Anatomy
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
        """Half chord lengths of an ellipsoid; it leans if its x and y are correlated (-1..1)."""
        cx = centre[0] + centre[2] * self.body.yaw
        cy = centre[1] + centre[2] * self.body.pitch
        out = np.zeros_like(self.x)
        part = self.around([[cx, cy]], 1.05 * max(half[:2]))
        u, v = (self.x[part] - cx) / half[0], (self.y[part] - cy) / half[1]
        out[part] = _dome((u * u - 2 * lean * u * v + v * v) / (1 - lean**2), half[2])
        return out

    def capsule(self, a: tuple[float, float], b: tuple[float, float], radius: float) -> Map:
        """Half chord lengths of a rod with round ends from a to b."""
        out = np.zeros_like(self.x)
        part = self.around([a, b], radius)
        dx, dy = b[0] - a[0], b[1] - a[1]
        x, y = self.x[part] - a[0], self.y[part] - a[1]
        t = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0, 1)
        u, v = x - t * dx, y - t * dy
        out[part] = _dome((u * u + v * v) / radius**2, radius)
        return out

    def around(self, points: npt.ArrayLike, reach: float) -> tuple[slice, slice]:
        """Rows and columns that hold all within a reach of the points: nothing else is computed."""
        at = self.path(points)
        low = np.clip(np.floor(at.min(0) - reach / self.mm), 0, self.size).astype(int)
        high = np.clip(np.ceil(at.max(0) + reach / self.mm) + 1, 0, self.size).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def path(self, points: npt.ArrayLike, z: float = 0.0) -> Points:
        """Patient millimetres (..., 2) at a depth to columns and rows (..., 2) of the film."""
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
        for band in _fixed(np.concatenate([paths + side, (paths - side)[:, ::-1]], 1)):
            cv2.fillPoly(canvas, [band], grey, cv2.LINE_AA, 4)


def _fixed(points: Points) -> npt.NDArray[np.int32]:
    """Pixels in OpenCV's fixed point with 4 fractional bits, for sub-pixel drawing."""
    return np.round(points * 16).astype(np.int32)


def _frame(body: _Anatomy, size: int) -> _Frame:
    mm = _FIELD_MM / body.magnification / size
    line = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * np.float32(mm)
    x, y = line[None, :] - np.float32(body.shift[0]), line[:, None] - np.float32(body.shift[1])
    c, s = np.float32(np.cos(body.roll)), np.float32(np.sin(body.roll))
    return _Frame(body, size, mm, x * c + y * s, y * c - x * s)


def _dome(r2: Map, half: float) -> Map:
    """The half chord of a round solid: half * sqrt(1 - r2), 0 outside."""
    inside = np.maximum(np.float32(1) - r2, np.float32(0))
    return np.asarray(np.sqrt(inside, out=inside) * np.float32(half))


def _overlap(a: Map, b: Map, z: float) -> Map:
    """Length of the overlap of the intervals [-a, a] and [z - b, z + b]."""
    return np.asarray(np.maximum(np.minimum(a, z + b) - np.maximum(-a, z - b), 0))


def _smooth(t: Map) -> Map:
    """Smooth step: 0 below 0, 1 above 1."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _clouds(rng: np.random.Generator, size: int, cells: int) -> Map:
    """Smooth noise, (size, size), mean 0 and deviation about 1, independent of the size."""
    grid = rng.standard_normal((cells, cells), np.float32)
    return np.asarray(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC))


@dataclass(frozen=True)
class _Side:
    """One hemithorax: -1 is the patient's right, +1 the left."""

    sign: int
    u: Map  # 0 at the mediastinum, 1 at the chest wall
    room: Map  # what the lung may fill: heart and diaphragm taken away
    held: Map  # water in it: aerated lung and vessels


def _wall(body: _Anatomy, y: Map) -> tuple[Map, Map, Map]:
    """At each height: x of the chest wall, x of the mediastinum, and a profile 0..1 of depth."""
    tip, middle = 0.37 * body.wide, body.base - 35
    rise = _dome(np.clip((middle - y) / np.float32(middle - body.apex), 0, 1) ** 2, 1)
    inner = _dome(np.clip(1 - (y - body.apex) / 60, 0, 1) ** 2, 1)
    return tip + (body.wide - tip) * rise, tip - (tip - 19) * inner, np.sqrt(rise)


def _heart(frame: _Frame, ratio: float) -> Map:
    """Half chord of ventricles and right atrium, `ratio` of the thorax wide."""
    b = frame.body
    w = 2 * b.wide * ratio
    tall = w**0.6 * (0.88 * b.wide) ** 0.4
    y = b.base - float(np.mean(b.domes)) + 26 - 0.40 * tall
    left = frame.ellipsoid((0.225 * w, y, -22), (0.445 * w, 0.40 * tall, 0.40 * w), 0.42)
    right = frame.ellipsoid((-0.10 * w, y - 5, -22), (0.23 * w, 0.42 * tall, 0.36 * w), 0.15)
    return np.asarray(np.maximum(left, right))


def _sides(frame: _Frame, heart: Map, vessels: Map) -> tuple[_Side, _Side]:
    b = frame.body
    great = np.maximum(
        frame.ellipsoid((0.8 * b.knob, -58, 0), (b.knob * 1.2, b.knob * 1.3, 60)),
        frame.ellipsoid((20, -18, 0), (21, 34, 40)),
    )
    great = np.maximum(great, frame.ellipsoid((-13, -30, 0), (17, 62, 45)))
    solid = np.maximum(heart, great)
    sides = []
    for sign, height in zip((-1, 1), b.domes, strict=True):
        part = frame.around([[0, b.apex], [sign * b.wide, b.base]], 16)
        x, y, solids = sign * frame.x[part], frame.y[part], solid[part]
        outer, inner, depth = _wall(b, y)
        u = (x - inner) / np.maximum(outer - inner, 1)
        depth = b.deep * depth * np.sqrt(np.clip((b.base + 14 - y) / 55, 0, 1))
        lung = depth * _dome(np.minimum((2 * u - 1) ** 2, 1) ** 2, 1)
        under = np.minimum(y - b.base, 0) / height
        dome = _dome(under**2 + ((x - 0.52 * b.wide) / (0.5 * b.wide)) ** 2, 0.93 * b.deep)
        room = 2 * lung - _overlap(lung, solids, -22) - _overlap(lung, dome, -6)
        room = np.maximum(room + _overlap(np.minimum(lung, dome), solids, -22), 0)
        held = _AERATED * room + vessels[part] * np.minimum(room / 110, 1)
        maps = [np.zeros_like(frame.x) for _ in range(3)]
        for whole, values in zip(maps, (u, room, held), strict=True):
            whole[part] = values
        sides.append(_Side(sign, *maps))
    return sides[0], sides[1]


def _vessels(frame: _Frame, rng: np.random.Generator) -> Map:
    """Branching trees from both hila, millimetres of water."""
    canvas = np.zeros((frame.size, frame.size), np.uint8)
    for sign in (-1, 1):
        angle = np.linspace(-1.45, 1.5, 14) + rng.normal(0, 0.12, 14)
        start = np.stack([sign * rng.uniform(22, 34, 14), -14 + 16 * np.sin(angle)], 1)
        levels = []
        for length, width in ((50, 5.2), (36, 3.5), (28, 2.5), (22, 1.8)):
            steps = length / 6 * rng.uniform(0.7, 1.3, (len(angle), 1))
            turns = angle[:, None] + np.cumsum(rng.normal(0, 0.13, (len(angle), 6)), 1)
            dx, dy = sign * np.cos(turns) * steps, np.sin(turns) * steps
            path = start[:, None] + np.cumsum(np.stack([dx, dy], 2), 1)
            levels.append((width, np.concatenate([start[:, None], path], 1)))
            fork, rows = rng.integers(2, 6, len(angle)), np.arange(len(angle))
            bend = rng.uniform(0.25, 0.6, len(angle)) * rng.choice([-1, 1], len(angle))
            start = np.concatenate([path[:, -1], path[rows, fork]])
            angle = np.concatenate([turns[:, -1] - bend / 2, turns[rows, fork] + bend])
        for width, paths in reversed(levels):
            frame.ribbons(canvas, frame.path(paths), width, round(24 * width))
    return cv2.GaussianBlur(canvas, (0, 0), 0.7 / frame.mm) / np.float32(9)


def _ribs(frame: _Frame) -> Map:
    """Ribs and clavicles, millimetres of bone."""
    b = frame.body
    back = np.zeros((frame.size, frame.size), np.uint8)
    front, collar = back.copy(), back.copy()
    i, sign = np.arange(10)[:, None], np.array([-1, 1])[:, None, None]
    y = b.apex - 6 + 0.098 * (b.base - b.apex) * i * (1 + 0.012 * i)
    fall = b.ribs * np.minimum(1, 0.5 + 0.1 * i)
    reach = _wall(b, np.asarray(y + 0.45 * fall, np.float32))[0] + 5
    for canvas, wide, start, end in ((back, 11.5, 0.12, 1.75), (front, 12.5, 1.45, 2.45)):
        t = np.linspace(start, end, 24)
        x, down = reach * np.sin(t) ** 0.9, y + fall * ((1 - np.cos(t)) / 2) ** 0.85
        both = np.stack([sign * x, np.broadcast_to(down, (2, *down.shape))], -1)
        for part in frame.path(both):
            frame.ribbons(canvas, part, wide, 255)
            frame.ribbons(canvas, part, wide - 4, 165)
    t = np.linspace(0, 1, 16)
    x, y = 14 + (b.wide + 12) * t, b.apex + 38 - 44 * t + 9 * np.sin(2 * np.pi * t)
    both = frame.path(np.stack([sign[..., 0] * x, np.stack([y, y])], -1), -60)
    frame.ribbons(collar, both, 14, 255)
    frame.ribbons(collar, both, 9, 175)
    layers = ((back, 5.2), (front, 3.4), (collar, 8.0))
    bone = sum(layer * np.float32(mm * b.mineral / 255) for layer, mm in layers)
    return np.asarray(cv2.GaussianBlur(np.asarray(bone), (0, 0), 0.7 / frame.mm))


def _joints(frame: _Frame) -> Map:
    """Spine, shoulder blades and upper arms, millimetres of bone."""
    b = frame.body
    x, y = frame.x - np.float32(60 * b.yaw), frame.y - np.float32(b.base)
    period = np.cos(y * np.float32(2 * np.pi / 24))
    body = _dome((x / (17.5 + 1.8 * period)) ** 2, 7.5) * (0.82 + 0.18 * np.tanh(3 * period + 1.5))
    canvas = np.zeros((frame.size, frame.size), np.uint8)
    for level in range(-10, 12):
        for at, wide, high, grey in ((-11, 8, 10, 150), (11, 8, 10, 150), (0, 6, 14, 200)):
            col, row = frame.path([at + 60 * b.yaw, b.base + 24 * level])
            oval = ((col, row), (wide / frame.mm, high / frame.mm), 0.0)
            cv2.ellipse(canvas, oval, grey, -1)
    for sign in (-1, 1):
        w = b.wide
        blade = [(w + 26, -78), (w - 12, -92), (w - 6, -40), (w + 6, 18), (w + 20, -36)]
        path = _fixed(frame.path([(sign * p, q) for p, q in blade]))
        layer = np.zeros_like(canvas)
        cv2.fillPoly(layer, [path], 90, cv2.LINE_AA, 4)
        cv2.polylines(layer, [path], True, 200, max(1, round(3 / frame.mm)), cv2.LINE_AA, 4)
        canvas += layer // 2
    bone = body + cv2.GaussianBlur(canvas, (0, 0), 1.6 / frame.mm) * np.float32(4 / 255)
    for sign in (-1, 1):
        top = (sign * (b.wide + 44), b.apex + 40)
        bone += 0.5 * frame.capsule(top, (sign * b.elbow, 160), 11)
        bone += 0.45 * frame.ellipsoid((*top, 0), (23, 24, 20))
    return np.asarray(bone * np.float32(b.mineral))


def _flesh(frame: _Frame, rng: np.random.Generator) -> Map:
    """The body without lungs, millimetres of water."""
    b = frame.body
    at = [-300, b.apex - 62, b.apex - 34, b.apex - 12, b.apex + 14, -55, -5, 60, 240]
    f = b.fat
    wide = [62, 56 + 0.4 * f, 68 + f, 118 + f, b.wide + 50, b.wide + 42 + f / 2]
    wide += [b.wide + 20 + f, b.wide + 16 + f, b.wide + 14 + 1.3 * f]
    deep = [58, 58, 62, 62, 72, b.deep + 8, b.deep + 14, b.deep + 16, b.deep + 14]
    line = np.linspace(-300, 300, 601, dtype=np.float32)
    table = [cv2.GaussianBlur(np.interp(line, at, v)[None], (0, 0), 9) for v in (wide, deep)]
    row, still = frame.y + np.float32(300), np.zeros_like(frame.y)
    half, depth = (cv2.remap(t.astype("f4"), row, still, cv2.INTER_LINEAR) for t in table)
    across = (frame.x / half) ** 2
    trunk: Map = (depth + np.float32(0.7 * f)) * _dome(across * across, 1)
    arms = [((s * (b.wide + 40), b.apex + 44), (s * b.elbow, 160)) for s in (-1, 1)]
    for start, end in arms:
        trunk = np.maximum(trunk, frame.capsule(start, end, 40 + 0.3 * f))
    body = 2 * trunk
    if b.breast:
        for s in (-1, 1):
            centre = (s * 0.56 * b.wide, 0.36 * b.base + 0.8 * f, -100.0)
            bulge = frame.ellipsoid(centre, (b.breast, 0.9 * b.breast, 0.65 * b.breast))
            body += bulge * _smooth((frame.y - 0.1 * b.base) / b.breast + 0.5)
    body *= 1 + 0.012 * _clouds(rng, frame.size, 12) + 0.008 * _clouds(rng, frame.size, 45)
    body -= 1.4 * frame.capsule((0, -260), (3, -48), 8.5)
    for s in (-1, 1):
        body -= 1.2 * frame.capsule((3, -48), (s * 34, -16), 6)
    if b.bubble > 10:
        spot = (0.5 * b.wide, b.base - b.domes[1] + 12 + b.bubble * 0.6, -40.0)
        body -= 1.6 * frame.ellipsoid(spot, (b.bubble * 1.3, b.bubble * 0.7, b.bubble))
    return np.asarray(np.maximum(body, 0))


def _trimmed(lesion: Map) -> Map:
    """A lesion without its faint fringe, in millimetres of water."""
    return np.asarray(np.maximum(lesion - np.float32(_VISIBLE_MM), 0))


def _spot(side: _Side, frame: _Frame, rng: np.random.Generator, low: float) -> tuple[float, float]:
    """A place in a lung, in the patient's frame: x, y."""
    b = frame.body
    y = b.apex + rng.uniform(0.24, low) * (b.base - b.apex)
    outer, inner, _ = (float(v[0]) for v in _wall(b, np.array([y], np.float32)))
    u = rng.uniform(0.4, 0.7)
    return side.sign * (inner + u * (outer - inner)), y


def _lump(
    frame: _Frame,
    side: _Side,
    severity: float,
    rng: np.random.Generator,
    sizes: tuple[float, float],
) -> tuple[_Side, Map]:
    """A solid, slightly lobed ball; severity runs over the range of diameters in millimetres."""
    cx, cy = _spot(side, frame, rng, 0.6)
    radius = (sizes[0] + severity * (sizes[1] - sizes[0])) / 2
    x, y = frame.x - np.float32(cx), frame.y - np.float32(cy)
    lobes, phase, rough = int(rng.integers(2, 6)), rng.uniform(0, 6.28), rng.uniform(0.0, 0.1)
    turn = np.cos(lobes * np.arctan2(y, x) + np.float32(phase))
    edge = np.float32(radius) * (1 - np.float32(rough / 2) * (1 - turn))
    solid = np.minimum(2 * _dome((x * x + y * y) / edge**2, radius), side.room)
    gain = np.maximum(solid * (_SOLID - side.held / np.maximum(side.room, 1)), 0)
    return replace(side, held=side.held + gain), gain


def _consolidation(
    frame: _Frame, side: _Side, severity: float, rng: np.random.Generator
) -> tuple[_Side, Map]:
    """Alveoli filled in a cloud with fluffy edges, in which the vessels vanish."""
    cx, cy = _spot(side, frame, rng, 0.78)
    wide = 22 + 40 * severity
    stretch = rng.uniform(0.75, 1.25)
    x, y = (frame.x - np.float32(cx)) / wide, (frame.y - np.float32(cy)) / (wide * stretch)
    fluff = sum(k * _clouds(rng, frame.size, n) for k, n in ((0.17, 9), (0.1, 18), (0.05, 40)))
    share = _smooth((1 - np.sqrt(x * x + y * y) + fluff) / 0.8) * (0.35 + 0.5 * severity)
    gain = _trimmed(np.maximum(side.room - side.held, 0) * share)
    return replace(side, held=side.held + gain), gain


def _effusion(
    frame: _Frame, side: _Side, severity: float, rng: np.random.Generator
) -> tuple[_Side, Map]:
    """Fluid in the bottom of the pleural space, its surface a meniscus that climbs the wall."""
    height = 45 + 115 * severity
    flat = 0.10 + 0.55 * severity + rng.uniform(0, 0.08)
    level = frame.body.base + 12 - height * (flat + (1 - flat) * np.clip(side.u, 0, 1) ** 3)
    share = _smooth((frame.y - level) / 22)
    gain = _trimmed(np.maximum(side.room - side.held, 0) * share)
    return replace(side, held=side.held + gain), gain


def _pneumothorax(frame: _Frame, side: _Side, severity: float) -> tuple[_Side, Map]:
    """Air outside the lung: the lung shrinks towards hilum and base, behind a visible pleura."""
    b = frame.body
    hilum = frame.path([side.sign * 32, b.base + 10])
    col, row = np.meshgrid(
        *(np.arange(frame.size, dtype=np.float32) - np.float32(h) for h in hilum)
    )
    tall = (b.base - b.apex) / frame.mm
    shrunk = (0.10 + 0.42 * severity) * np.clip(-row / (tall * (1 - 0.8 * severity)), 0, 1)
    col = np.where(side.sign * col > 0, col / (1 - shrunk), col) + np.float32(hilum[0])
    row = np.where(row < 0, row / (0.95 - 0.28 * severity), row) + np.float32(hilum[1])
    lung, held = (cv2.remap(m, col, row, cv2.INTER_LINEAR) for m in (side.room, side.held))
    inside = cv2.GaussianBlur(np.clip(lung / 4, 0, 1), (0, 0), 0.9 / frame.mm)
    density = held / np.maximum(lung, 1) / (1 - 0.3 * severity)
    air = _trimmed(side.room * (1 - inside))
    pleura = np.minimum(5 * 4 * inside * (1 - inside), side.room)
    kept = side.room * inside * np.clip(density, _AERATED, 1) + pleura
    return replace(side, held=kept), air


def _lesion(
    frame: _Frame, side: _Side, finding: str, severity: float, rng: np.random.Generator
) -> tuple[_Side, Map]:
    """One hemithorax with a lesion in it, and the lesion's own thickness (size, size)."""
    match finding:
        case "Consolidation":
            return _consolidation(frame, side, severity, rng)
        case "Effusion":
            return _effusion(frame, side, severity, rng)
        case "Mass":
            return _lump(frame, side, severity, rng, (36, 66))
        case "Nodule":
            return _lump(frame, side, severity, rng, (9, 28))
        case _:
            return _pneumothorax(frame, side, severity)


def _place(
    frame: _Frame, sides: tuple[_Side, _Side], wanted: Mapping[str, float]
) -> tuple[list[_Side], list[PlacedFinding]]:
    """Both hemithoraces with the lesions wanted, and where those are.

    Fluid and air go to opposite sides. Lesions within the lung keep clear of the air, else of the
    fluid. Apart from that, where a lesion lies depends on the seed and its finding alone.
    """
    out, placed = list(sides), []
    wet = int(np.random.default_rng([frame.body.seed, _PLACE]).integers(2))
    for finding in ("Pneumothorax", "Consolidation", "Mass", "Nodule", "Effusion"):
        if finding not in wanted:
            continue
        own = _PLACE + 1 + FINDINGS.index(finding)
        rng = np.random.default_rng([frame.body.seed, own])
        at = int(rng.integers(2))
        if finding == "Effusion" or (finding != "Pneumothorax" and "Pneumothorax" in wanted):
            at = wet
        elif finding == "Pneumothorax" or "Effusion" in wanted:
            at = 1 - wet
        out[at], lesion = _lesion(frame, out[at], finding, wanted[finding], rng)
        placed.append(PlacedFinding(finding, wanted[finding], _box(lesion)))
    return out, placed


def _box(lesion: Map) -> Box:
    """The tight box around a lesion's thickness map."""
    x, y, w, h = cv2.boundingRect((lesion > 0).astype(np.uint8))
    return float(x), float(y), float(w), float(h)


def _integral(flesh: Map, bone: Map, sides: Sequence[_Side]) -> Map:
    """Attenuation along each ray, (size, size), without unit."""
    water = flesh + sum(side.held - side.room for side in sides)
    return np.asarray(_WATER * np.maximum(water, 0) + _BONE * bone)


def _expose(frame: _Frame, integral: Map, normal: Map) -> Canvas:
    """Attenuation to grey values: detector blur, quantum noise, display.

    The window is that of the normal film, and the noise is one field for every film of the seed:
    where there is no lesion, nothing changes.
    """
    rng = np.random.default_rng([frame.body.seed, _NOISE])
    body = normal[:: frame.size // 64, :: frame.size // 64]
    low, high = (float(v) for v in np.percentile(body[body > 0.6], (3, 90)))
    quanta, gain, slope = rng.uniform(130, 320), rng.uniform(0.93, 1.12), rng.uniform(2.0, 2.8)
    seen = cv2.GaussianBlur(integral, (0, 0), max(0.4, 0.45 / frame.mm))
    # So many quanta that their Poisson counts are normal; the deviation is that of the logarithm.
    field = rng.standard_normal(seen.shape, np.float32)
    seen = seen + field * np.exp(seen / 2) / (quanta * frame.mm)
    dark = 0.82 * low / high
    t = np.maximum(seen, 0) * (gain / high)
    t = np.maximum((t - dark) / (1 - dark), 0) + 0.08 * np.minimum(t / dark, 1)
    return (250 * (1 - np.exp(-slope * t**1.75))).astype(np.uint8)


def _drawn(seed: int) -> dict[str, float]:
    rng = np.random.default_rng([seed, _DRAW])
    count = rng.choice(4, p=(0.3, 0.4, 0.2, 0.1))
    names = rng.choice(FINDINGS, count, replace=False)
    return {str(name): rng.uniform(0.15, 1) for name in names}


def phantom(seed: int, *, size: int = 320, findings: Mapping[str, float] | None = None) -> Phantom:
    """Make a synthetic PA film; the same arguments give the same film.

    Args:
        seed: The person, how they stood, the noise, and where a lesion lies. Not negative.
        size: Pixels along each edge, 64 to 2048. The field of view does not depend on it.
        findings: Finding -> severity in (0, 1]; {} is a normal film, None draws 0 to 3 findings.

    Raises:
        ConfigurationError: an argument is outside its range, or a finding is unknown.
    """
    _check(seed, size, findings or {})
    wanted = _drawn(seed) if findings is None else findings
    body = _person(seed)
    frame = _frame(body, size)
    rng = np.random.default_rng([seed, _TEXTURE])
    vessels, flesh = _vessels(frame, rng), _flesh(frame, rng)
    bone = _ribs(frame) + _joints(frame)
    sides = _sides(frame, _heart(frame, body.ratio), vessels)
    normal = _integral(flesh, bone, sides)
    placed = []
    if severity := wanted.get("Cardiomegaly"):
        heart = _heart(frame, 0.53 + 0.16 * severity)
        sides = _sides(frame, heart, vessels)
        placed.append(PlacedFinding("Cardiomegaly", severity, _box(heart)))
    after, lesions = _place(frame, sides, wanted)
    placed = sorted(placed + lesions, key=lambda p: p.finding)
    pixels = _expose(frame, _integral(flesh, bone, after), normal)
    thorax = 2 * body.wide / frame.mm
    return Phantom(seed, pixels, tuple(placed), body.sex, body.age, "PA", frame.mm, thorax)


def _check(seed: int, size: int, findings: Mapping[str, float]) -> None:
    if seed < 0:
        raise ConfigurationError(f"seed {seed} is negative; use 0 or more")
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise ConfigurationError(f"size {size} is outside {_SIZES[0]} to {_SIZES[1]} pixels")
    for finding, severity in findings.items():
        if finding not in FINDINGS:
            known = ", ".join(FINDINGS)
            raise ConfigurationError(f"no phantom shows {finding!r}; choose from {known}")
        if not 0 < severity <= 1:
            raise ConfigurationError(
                f"severity {severity} of {finding} is outside (0, 1]; leave it out for none"
            )


def write_phantoms(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    size: int = 320,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Write a data set of phantoms, whole or not at all.

    `labels.csv` (file, patient_id, view, sex, age, findings, split), `boxes.csv` (file, label, x,
    y, w, h in pixels, provenance), `severity.csv` (file, finding, severity) and
    `images/phantom-000000.png` onwards. Every film is another person: the patient_id is the
    phantom's seed, so that `phantom(int(patient_id), size=size)` makes the film again.

    Args:
        folder: Must not exist.
        count: How many films, at least 1.
        seed: Of the first film; the others follow it.
        size: Pixels along each edge, 64 to 2048.
        on_progress: Called after each film with how many are written.

    Raises:
        ConfigurationError: the folder exists, or an argument is outside its range.
    """
    _check(seed, size, {})
    if count < 1:
        raise ConfigurationError(f"count {count} is less than 1; a data set has at least one film")
    labels = [["file", "patient_id", "view", "sex", "age", "findings", "split"]]
    boxes = [["file", "label", "x", "y", "w", "h", "provenance"]]
    severities = [["file", "finding", "severity"]]
    with new_folder(folder) as beside:
        (beside / "images").mkdir()
        for i in range(count):
            film = phantom(seed + i, size=size)
            file = f"images/phantom-{i:06d}.png"
            (beside / file).write_bytes(cv2.imencode(".png", film.pixels)[1].tobytes())
            names = "|".join(p.finding for p in film.findings) or NO_FINDING
            split = _SPLITS[i % len(_SPLITS)]
            labels.append([file, str(film.seed), film.view, film.sex, str(film.age), names, split])
            for p in film.findings:
                boxes.append([file, p.finding, *(f"{v:g}" for v in p.box), "phantom"])
                severities.append([file, p.finding, f"{p.severity:.6f}"])
            if on_progress:
                on_progress(i + 1)
        for name, rows in (("labels", labels), ("boxes", boxes), ("severity", severities)):
            with (beside / f"{name}.csv").open("w", encoding="utf-8", newline="") as out:
                csv.writer(out, lineterminator="\n").writerows(rows)
