"""Synthetic chest radiographs with exact ground truth, for the demo and for tests.

An analytic thorax is projected along parallel rays with Beer-Lambert attenuation. Organs are solids
whose chords have closed forms; bones and vessels are drawn as ribbons and lines of known thickness.
A film is read in this order::

    seed -> Anatomy -> Chest (thickness maps) -> lesions -> line integral -> noise -> grey values

Frames: *patient* millimetres, x to the patient's left (the picture's right), y towards the feet,
z towards the back, origin at the hila; *pixels*, column and row of the film, (0, 0) at the top left
corner of the top left pixel. Every map is float32 of shape (size, size) in millimetres of water
unless it says otherwise. Anatomy, noise and each finding draw from random streams of their own, so
two phantoms of one seed differ in their lesions only.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

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

Map = npt.NDArray[np.float32]
Canvas = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]

_FIELD_MM = 425.0  # what the film shows of the patient, edge to edge, before magnification
_WATER, _BONE = 0.021, 0.052  # attenuation of a chest beam, 1/mm
_AERATED = 0.26  # density of healthy lung, water = 1
_VISIBLE_MM = 1.0  # a lesion thinner than this is cut off: it would drown in the noise
_SPLITS = tuple("train train train val train train test train train test".split())
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
    base = r.normal(104, 9) * big
    right = r.normal(52, 5)
    return _Anatomy(
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
        angle: float = 0.0,
    ) -> Map:
        """Half chord lengths of an ellipsoid, turned by an angle in the plane of the film."""
        x = self.x - np.float32(centre[0] + centre[2] * self.body.yaw)
        y = self.y - np.float32(centre[1] + centre[2] * self.body.pitch)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u, v = (x * c + y * s) / np.float32(half[0]), (y * c - x * s) / np.float32(half[1])
        return _dome(u * u + v * v, half[2])

    def capsule(self, a: tuple[float, float], b: tuple[float, float], radius: float) -> Map:
        """Half chord lengths of a rod with round ends from a to b."""
        dx, dy = np.float32(b[0] - a[0]), np.float32(b[1] - a[1])
        x, y = self.x - np.float32(a[0]), self.y - np.float32(a[1])
        t = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0, 1)
        u, v = x - t * dx, y - t * dy
        return _dome((u * u + v * v) / np.float32(radius**2), radius)

    def path(self, points: npt.ArrayLike, z: float = 0.0) -> npt.NDArray[np.float64]:
        """Patient millimetres (n, 2) at a depth to columns and rows (n, 2) of the film."""
        b = self.body
        p = np.asarray(points, np.float64) + (z * b.yaw, z * b.pitch)
        c, s = np.cos(b.roll), np.sin(b.roll)
        turned = p @ np.array([[c, s], [-s, c]]) + b.shift
        return np.asarray(turned / self.mm + (self.size - 1) / 2)

    def ribbon(
        self, canvas: Canvas, path: npt.NDArray[np.float64], wide: float, grey: float
    ) -> None:
        """Fill a band, `wide` millimetres across, along a path of pixels, in place."""
        along = np.gradient(path, axis=0)
        side = np.stack([-along[:, 1], along[:, 0]], 1)
        side *= wide / self.mm / 2 / np.linalg.norm(side, axis=1, keepdims=True)
        band = np.concatenate([path + side, (path - side)[::-1]])
        cv2.fillPoly(canvas, [np.int32(np.round(band * 16))], int(grey), cv2.LINE_AA, 4)


def _frame(body: _Anatomy, size: int) -> _Frame:
    mm = _FIELD_MM / body.magnification / size
    line = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * np.float32(mm)
    x, y = line[None, :] - np.float32(body.shift[0]), line[:, None] - np.float32(body.shift[1])
    c, s = np.float32(np.cos(body.roll)), np.float32(np.sin(body.roll))
    return _Frame(body, size, mm, x * c + y * s, y * c - x * s)


def _dome(r2: Map, half: float) -> Map:
    """The half chord of a round solid: half * sqrt(1 - r2), 0 outside."""
    return np.float32(half) * np.sqrt(np.maximum(1 - r2, 0))


def _overlap(a: Map, b: Map, z: float) -> Map:
    """Length of the overlap of the intervals [-a, a] and [z - b, z + b]."""
    return np.maximum(np.minimum(a, z + b) - np.maximum(-a, z - b), 0) * (b > 0)


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
    y = b.base - float(np.mean(b.domes)) + 24 - 0.36 * w
    left = frame.ellipsoid((0.25 * w, y, -22), (0.47 * w, 0.29 * w, 48), 0.61)
    right = frame.ellipsoid((-0.10 * w, y - 0.02 * w, -22), (0.23 * w, 0.36 * w, 44))
    return np.maximum(left, right)


def _sides(frame: _Frame, heart: Map, vessels: Map) -> tuple[_Side, _Side]:
    b = frame.body
    outer, inner, depth = _wall(b, frame.y)
    depth = np.float32(b.deep) * depth * np.sqrt(np.clip((b.base + 32 - frame.y) / 70, 0, 1))
    great = np.maximum(
        frame.ellipsoid((0.8 * b.knob, -58, 0), (b.knob * 1.2, b.knob * 1.3, 60)),
        frame.ellipsoid((20, -18, 0), (21, 34, 40)),
    )
    great = np.maximum(great, frame.ellipsoid((-13, -30, 0), (17, 62, 45)))
    solid = np.maximum(heart, great)
    sides = []
    for sign, height in zip((-1, 1), b.domes, strict=True):
        u = (sign * frame.x - inner) / np.maximum(outer - inner, 1)
        lung = depth * _dome(np.minimum((2 * u - 1) ** 2, 1) ** 2, 1)
        half = (0.49 * b.wide, height, 0.93 * b.deep)
        under = np.minimum(frame.y - np.float32(b.base), 0) / np.float32(half[1])
        across = (sign * frame.x - 0.52 * b.wide) / np.float32(half[0])
        dome = _dome(under**2 + across**2, half[2])
        room = 2 * lung - _overlap(lung, solid, -22) - _overlap(lung, dome, -6)
        room = np.maximum(room + _overlap(np.minimum(lung, dome), solid, -22), 0)
        held = np.float32(_AERATED) * room + vessels * np.minimum(room / 50, 1)
        sides.append(_Side(sign, u, room, held))
    return sides[0], sides[1]


def _vessels(frame: _Frame, rng: np.random.Generator) -> Map:
    """Branching trees from both hila, millimetres of water."""
    canvas = np.zeros((frame.size, frame.size), np.uint8)
    for sign in (-1, 1):
        angle = np.linspace(-1.45, 1.5, 11) + rng.normal(0, 0.12, 11)
        start = np.stack([sign * rng.uniform(22, 34, 11), -14 + 16 * np.sin(angle)], 1)
        levels = []
        for length, width in ((58, 6.5), (36, 4.0), (26, 2.6), (20, 1.8)):
            steps = length / 6 * rng.uniform(0.7, 1.3, (len(angle), 1))
            turns = angle[:, None] + np.cumsum(rng.normal(0, 0.13, (len(angle), 6)), 1)
            dx, dy = sign * np.cos(turns) * steps, np.sin(turns) * steps
            path = start[:, None] + np.cumsum(np.stack([dx, dy], 2), 1)
            levels.append((width, np.concatenate([start[:, None], path], 1)))
            fork = rng.integers(2, 6, len(angle))
            rows = np.arange(len(angle))
            start = np.concatenate([path[:, -1], path[:, -1], path[rows, fork]])
            spread = rng.uniform(0.2, 0.6, (3, len(angle))) * [[1], [-1], [1]]
            spread[2] *= rng.choice([-1, 1], len(angle))
            angle = np.concatenate([turns[:, -1], turns[:, -1], turns[rows, fork]])
            angle = angle + spread.ravel()
        for width, paths in reversed(levels):
            pixels = [np.int32(np.round(frame.path(p) * 16)) for p in paths]
            thick = max(1, round(width / frame.mm))
            grey = min(255.0, 22 * width * min(1.0, width / frame.mm / thick))
            cv2.polylines(canvas, pixels, False, grey, thick, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(canvas, (0, 0), 1.0 / frame.mm).astype(np.float32) / np.float32(14)


def _ribs(frame: _Frame) -> Map:
    """Ribs and clavicles, millimetres of bone."""
    b = frame.body
    back = np.zeros((frame.size, frame.size), np.uint8)
    front, collar = back.copy(), back.copy()
    for i in range(10):
        y = b.apex - 6 + 0.098 * (b.base - b.apex) * i * (1 + 0.012 * i)
        fall = b.ribs * min(1.0, 0.5 + 0.1 * i)
        reach = float(_wall(b, np.float32([y + fall * 0.45]))[0][0]) + 5
        for sign in (-1, 1):
            for canvas, span in ((back, (0.12, 1.75)), (front, (1.45, 2.45))):
                t = np.linspace(*span, 24)
                x = sign * reach * np.sin(t) ** 0.9
                path = frame.path(np.stack([x, y + fall * ((1 - np.cos(t)) / 2) ** 0.85], 1))
                frame.ribbon(canvas, path, 11.5 if canvas is back else 12.5, 255)
                frame.ribbon(canvas, path, 7.5, 165)
    for sign in (-1, 1):
        t = np.linspace(0, 1, 16)
        x = sign * (14 + (b.wide + 12) * t)
        y = b.apex + 38 - 44 * t + 9 * np.sin(2 * np.pi * t)
        path = frame.path(np.stack([x, y], 1), -60)
        frame.ribbon(collar, path, 14, 255)
        frame.ribbon(collar, path, 9, 175)
    mm = [np.float32(k / 255) for k in (5.0, 3.6, 6.5)]
    bone = back * mm[0] + front * mm[1] + collar * mm[2]
    return cv2.GaussianBlur(bone, (0, 0), 0.9 / frame.mm)


def _joints(frame: _Frame) -> Map:
    """Spine, shoulder blades and upper arms, millimetres of bone."""
    b = frame.body
    x, y = frame.x - np.float32(60 * b.yaw), frame.y - np.float32(b.base)
    period = np.cos(y * np.float32(2 * np.pi / 24))
    body = _dome((x / (17.5 + 1.8 * period)) ** 4, 11) * (0.82 + 0.18 * np.tanh(3 * period + 1.5))
    canvas = np.zeros((frame.size, frame.size), np.uint8)
    for level in range(-10, 12):
        for at, half, grey in ((-11, (4, 5), 150), (11, (4, 5), 150), (0, (3, 7), 200)):
            centre = frame.path([[at + 60 * b.yaw, b.base + 24 * level]])[0]
            axes = (half[0] / frame.mm, half[1] / frame.mm)
            cv2.ellipse(canvas, (tuple(centre), (2 * axes[0], 2 * axes[1]), 0), grey, -1)
    for sign in (-1, 1):
        w = b.wide
        blade = [(w + 26, -78), (w - 12, -92), (w - 6, -40), (w + 6, 18), (w + 20, -36)]
        path = np.int32(np.round(frame.path([(sign * p, q) for p, q in blade]) * 16))
        layer = np.zeros_like(canvas)
        cv2.fillPoly(layer, [path], 70, cv2.LINE_AA, 4)
        cv2.polylines(layer, [path], True, 150, max(1, round(3 / frame.mm)), cv2.LINE_AA, 4)
        canvas = cv2.add(canvas, layer)
    bone = body + cv2.GaussianBlur(canvas, (0, 0), 1.6 / frame.mm) * np.float32(4 / 255)
    for sign in (-1, 1):
        top = (sign * (b.wide + 44), b.apex + 40)
        bone += 0.5 * frame.capsule(top, (sign * b.elbow, 160), 11)
        bone += 0.45 * frame.ellipsoid((*top, 0), (23, 24, 20))
    return bone * np.float32(b.mineral)


def _flesh(frame: _Frame, rng: np.random.Generator) -> Map:
    """The body without lungs, millimetres of water."""
    b = frame.body
    at = np.float32([-300, b.apex - 62, b.apex - 34, b.apex - 12, b.apex + 14, -55, -5, 60, 240])
    f = b.fat
    wide = [62, 56 + 0.4 * f, 68 + f, 118 + f, b.wide + 50, b.wide + 42 + f / 2]
    wide += [b.wide + 20 + f, b.wide + 16 + f, b.wide + 14 + 1.3 * f]
    deep = [58, 58, 62, 62, 72, b.deep + 8, b.deep + 14, b.deep + 16, b.deep + 14]
    line = np.linspace(-300, 300, 601, dtype=np.float32)
    table = [cv2.GaussianBlur(np.interp(line, at, v)[None], (0, 0), 9) for v in (wide, deep)]
    row, still = np.float32(frame.y + 300), np.zeros_like(frame.y)
    half, depth = (cv2.remap(np.float32(t), row, still, cv2.INTER_LINEAR) for t in table)
    trunk = (depth + np.float32(0.7 * f)) * _dome((frame.x / half) ** 4, 1)
    arms = [((s * (b.wide + 40), b.apex + 44), (s * b.elbow, 160)) for s in (-1, 1)]
    for start, end in arms:
        trunk = np.maximum(trunk, frame.capsule(start, end, 40 + 0.3 * f))
    body = 2 * trunk
    if b.breast:
        for s in (-1, 1):
            centre = (s * 0.56 * b.wide, 0.2 * b.base + 0.8 * f, -100.0)
            body += frame.ellipsoid(centre, (b.breast, 0.9 * b.breast, 0.62 * b.breast))
    texture = 1 + 0.012 * _clouds(rng, frame.size, 12) + 0.008 * _clouds(rng, frame.size, 45)
    body *= texture
    body -= 1.4 * frame.capsule((0, -260), (3, -48), 8.5)
    for s in (-1, 1):
        body -= 1.2 * frame.capsule((3, -48), (s * 34, -16), 6)
    if b.bubble > 10:
        spot = (0.5 * b.wide, b.base - b.domes[1] + 12 + b.bubble * 0.6, -40.0)
        body -= 1.6 * frame.ellipsoid(spot, (b.bubble * 1.3, b.bubble * 0.7, b.bubble))
    return np.maximum(body, 0)


def _smooth(t: Map) -> Map:
    """Smooth step: 0 below 0, 1 above 1."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _spot(side: _Side, frame: _Frame, rng: np.random.Generator, low: float) -> tuple[float, float]:
    """A place in a lung, in the patient's frame: x, y."""
    b = frame.body
    y = b.apex + rng.uniform(0.24, low) * (b.base - b.apex)
    outer, inner, _ = (float(v[0]) for v in _wall(b, np.float32([y])))
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
    lobes, phase, rough = rng.integers(2, 6), rng.uniform(0, 6.28), rng.uniform(0.0, 0.1)
    turn = np.cos(lobes * np.arctan2(y, x) + np.float32(phase))
    edge = np.float32(radius) * (1 - np.float32(rough / 2) * (1 - turn))
    solid = np.minimum(2 * _dome((x * x + y * y) / edge**2, radius), side.room)
    held = np.minimum(side.held + np.float32(1 - _AERATED) * solid, side.room)
    return replace(side, held=np.maximum(held, side.held)), solid


def _consolidation(
    frame: _Frame, side: _Side, severity: float, rng: np.random.Generator
) -> tuple[_Side, Map]:
    """Alveoli filled in a cloud with fluffy edges; bronchi in it stay open."""
    cx, cy = _spot(side, frame, rng, 0.78)
    wide = 22 + 40 * severity
    stretch = rng.uniform(0.75, 1.25)
    x, y = (frame.x - np.float32(cx)) / wide, (frame.y - np.float32(cy)) / (wide * stretch)
    fluff = 0.16 * _clouds(rng, frame.size, 18) + 0.12 * _clouds(rng, frame.size, 40)
    share = _smooth((1 - np.sqrt(x * x + y * y) + fluff) / 0.65) * (0.35 + 0.5 * severity)
    gain = np.maximum(side.room - side.held, 0) * share
    return replace(side, held=side.held + gain), gain


def _effusion(
    frame: _Frame, side: _Side, severity: float, rng: np.random.Generator
) -> tuple[_Side, Map]:
    """Fluid in the bottom of the pleural space, its surface a meniscus that climbs the wall."""
    height = 42 + 125 * severity
    flat = 0.12 + 0.55 * severity + rng.uniform(0, 0.08)
    level = frame.body.base + 32 - height * (flat + (1 - flat) * np.clip(side.u, 0, 1) ** 3)
    share = _smooth((frame.y - level) / 26)
    gain = np.maximum(side.room - side.held, 0) * share
    return replace(side, held=side.held + gain), gain


def _pneumothorax(
    frame: _Frame, side: _Side, severity: float, rng: np.random.Generator
) -> tuple[_Side, Map]:
    """Air outside the lung: the lung shrinks towards hilum and base, behind a visible pleura."""
    b = frame.body
    kx, ky = 1 - (0.10 + 0.42 * severity), 1 - (0.05 + 0.28 * severity)
    hilum = frame.path([[side.sign * 32, b.base + 10]])[0]
    col, row = np.meshgrid(*(np.arange(frame.size, dtype=np.float32) - h for h in hilum))
    col = np.where(side.sign * col > 0, col / kx, col) + hilum[0]
    row = np.where(row < 0, row / ky, row) + hilum[1]
    col, row = np.float32(col), np.float32(row)
    lung, held = (cv2.remap(m, col, row, cv2.INTER_LINEAR) for m in (side.room, side.held))
    inside = np.clip(lung / 4, 0, 1)
    kernel = np.ones((3, 3), np.uint8)
    pleura = cv2.dilate(inside, kernel, iterations=max(1, round(1 / frame.mm))) - inside
    ratio = held / np.maximum(lung, 1)
    kept = side.room * inside * np.minimum(ratio / (kx * ky) ** 0.5, 1)
    air = side.room * (1 - inside)
    kept += np.minimum(7 * pleura, air)
    return replace(side, held=kept), air


def _box(lesion: Map) -> Box:
    """The tight box around the pixels where a lesion is thick enough to be seen."""
    seen = lesion > _VISIBLE_MM
    x, y, w, h = cv2.boundingRect(seen.astype(np.uint8))
    return float(x), float(y), float(w), float(h)


def _expose(frame: _Frame, integral: Map, normal: Map, rng: np.random.Generator) -> Canvas:
    """Line integrals to grey values: detector blur, quantum noise, the normal film's window.

    Args:
        frame: Of the film.
        integral: Attenuation along each ray, without unit, with lesions.
        normal: The same without lesions; it alone sets the window.
        rng: The seed's noise stream; it is read alike for every film of a seed.
    """
    low, high = np.percentile(normal[::4, ::4][normal[::4, ::4] > 0.6], (3, 90))
    quanta, gain, shoulder = rng.uniform(110, 300), rng.uniform(0.9, 1.12), rng.uniform(1.2, 2.2)
    noise = rng.standard_normal(integral.shape, np.float32)
    seen = cv2.GaussianBlur(integral, (0, 0), max(0.45, 0.55 / frame.mm))
    # Poisson counts are many enough to be normal; the logarithm of their deviation is exp(p / 2)
    seen += noise * np.exp(seen / 2) / np.float32(quanta / frame.mm)
    t = np.maximum(seen, 0) / np.float32(high / gain)
    dark = np.float32(0.75 * low / high)
    t = np.maximum((t - dark) / (1 - dark), 0) + 0.06 * np.minimum(t / dark, 1)
    return np.uint8(255 * np.minimum((1 - np.exp(-shoulder * t**1.25)) / (1 - np.exp(-shoulder * 1.3)), 1))


def phantom(seed: int, *, size: int = 320, findings: Mapping[str, float] | None = None) -> Phantom:
    body = _person(seed)
    frame = _frame(body, size)
    wanted = _drawn(seed) if findings is None else dict(findings)
    texture = np.random.default_rng([seed, _TEXTURE])
    vessels, flesh = _vessels(frame, texture), _flesh(frame, texture)
    bone = _ribs(frame) * np.float32(body.mineral) + _joints(frame)
    heart = _heart(frame, body.ratio)
    sides = _sides(frame, heart, vessels)
    normal = _integral(flesh, bone, sides)
    placed = []
    if "Cardiomegaly" in wanted:
        heart = _heart(frame, 0.53 + 0.17 * wanted["Cardiomegaly"])
        sides = _sides(frame, heart, vessels)
        placed.append(PlacedFinding("Cardiomegaly", wanted["Cardiomegaly"], _box(heart)))
    sides, more = _place(frame, sides, wanted, seed)
    noise = np.random.default_rng([seed, _NOISE])
    pixels = _expose(frame, _integral(flesh, bone, sides), normal, noise)
    return Phantom(seed, pixels, tuple(placed + more), body.sex, body.age, "PA", frame.mm, 2 * body.wide / frame.mm)


def _drawn(seed: int) -> dict[str, float]:
    rng = np.random.default_rng([seed, _DRAW])
    count = rng.choice(4, p=(0.3, 0.4, 0.2, 0.1))
    names = rng.choice(FINDINGS, count, replace=False)
    return {str(name): float(rng.uniform(0.15, 1)) for name in names}


def _integral(flesh: Map, bone: Map, sides: Sequence[_Side]) -> Map:
    water = flesh.copy()
    for side in sides:
        water += side.held - side.room
    return np.float32(_WATER) * np.maximum(water, 0) + np.float32(_BONE) * bone


def _place(frame, sides, wanted, seed):
    sides = list(sides)
    out = []
    fluid = int(np.random.default_rng([seed, _PLACE]).integers(2))
    for name in ("Pneumothorax", "Consolidation", "Mass", "Nodule", "Effusion"):
        if name not in wanted: continue
        severity = wanted[name]
        rng = np.random.default_rng([seed, _PLACE + 1 + FINDINGS.index(name)])
        at = int(rng.integers(2))
        if name == "Effusion": at = fluid
        elif name == "Pneumothorax": at = 1 - fluid
        elif "Pneumothorax" in wanted: at = fluid
        elif "Effusion" in wanted: at = 1 - fluid
        if name == "Mass": sides[at], m = _lump(frame, sides[at], severity, rng, (34, 66))
        elif name == "Nodule": sides[at], m = _lump(frame, sides[at], severity, rng, (9, 28))
        else: sides[at], m = {"Pneumothorax": _pneumothorax, "Consolidation": _consolidation, "Effusion": _effusion}[name](frame, sides[at], severity, rng)
        out.append(PlacedFinding(name, severity, _box(m)))
    return tuple(sides), out
