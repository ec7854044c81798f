"""Thickness maps of a chest: heart, lungs, vessels, bones, and the surrounding body."""

from dataclasses import dataclass

import cv2
import numpy as np

from xemplar.phantom.grid import Map, ProjectionGrid, clouds, dome, fixed, overlap, smooth
from xemplar.phantom.person import Anatomy

AERATED = 0.26
"""Density of healthy lung, water = 1."""


@dataclass(frozen=True)
class Side:
    """One hemithorax: -1 is the patient's right, +1 the left."""

    sign: int
    u: Map  # 0 at the mediastinum, 1 at the chest wall
    room: Map  # space for the lung, without heart and diaphragm
    held: Map  # its water: aerated lung and vessels


def wall(body: Anatomy, y: Map) -> tuple[Map, Map, Map]:
    """Compute by height: x of the chest wall, x of the mediastinum, and a depth profile 0..1."""
    tip, middle = 0.37 * body.wide, body.base - 35
    rise = dome(np.clip((middle - y) / np.float32(middle - body.apex), 0, 1) ** 2, 1)
    inner = dome(np.clip(1 - (y - body.apex) / 60, 0, 1) ** 2, 1)
    return tip + (body.wide - tip) * rise, tip - (tip - 19) * inner, np.sqrt(rise)


def heart_of(grid: ProjectionGrid, ratio: float) -> Map:
    """Compute half chords of the heart, whose width is ``ratio`` of the thorax."""
    b = grid.body
    w = 2 * b.wide * ratio
    tall = w**0.6 * (0.88 * b.wide) ** 0.4
    y = b.base - float(np.mean(b.domes)) + 26 - 0.40 * tall
    left = grid.ellipsoid((0.225 * w, y, -22), (0.445 * w, 0.40 * tall, 0.40 * w), 0.42)
    right = grid.ellipsoid((-0.10 * w, y - 5, -22), (0.23 * w, 0.42 * tall, 0.36 * w), 0.15)
    return np.asarray(np.maximum(left, right))


def sides_of(grid: ProjectionGrid, heart: Map, vessels: Map) -> tuple[Side, Side]:
    """Compute right and left hemithorax, with the space left by heart and great vessels."""
    b = grid.body
    great = np.maximum(
        grid.ellipsoid((0.8 * b.knob, -58, 0), (b.knob * 1.2, b.knob * 1.3, 60)),
        grid.ellipsoid((20, -18, 0), (21, 34, 40)),
    )
    great = np.maximum(great, grid.ellipsoid((-13, -30, 0), (17, 62, 45)))
    solid = np.maximum(heart, great)
    sides = []
    for sign, height in zip((-1, 1), b.domes, strict=True):
        part = grid.around([[0, b.apex], [sign * b.wide, b.base]], 16)
        x, y, solids = sign * grid.x[part], grid.y[part], solid[part]
        outer, inner, depth = wall(b, y)
        u = (x - inner) / np.maximum(outer - inner, 1)
        depth = b.deep * depth * np.sqrt(np.clip((b.base + 14 - y) / 55, 0, 1))
        lung = depth * dome(np.minimum((2 * u - 1) ** 2, 1) ** 2, 1)
        under = np.minimum(y - b.base, 0) / height
        diaphragm = dome(under**2 + ((x - 0.52 * b.wide) / (0.5 * b.wide)) ** 2, 0.93 * b.deep)
        room = 2 * lung - overlap(lung, solids, -22) - overlap(lung, diaphragm, -6)
        room = np.maximum(room + overlap(np.minimum(lung, diaphragm), solids, -22), 0)
        held = AERATED * room + vessels[part] * np.minimum(room / 110, 1)
        maps = [np.zeros_like(grid.x) for _ in range(3)]
        for whole, values in zip(maps, (u, room, held), strict=True):
            whole[part] = values
        sides.append(Side(sign, *maps))
    return sides[0], sides[1]


def vessels_of(grid: ProjectionGrid, rng: np.random.Generator) -> Map:
    """Draw branching vessels from both hila, in millimetres of water."""
    canvas = np.zeros((grid.size, grid.size), np.uint8)
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
            grid.ribbons(canvas, grid.path(paths), width, round(24 * width))
    return cv2.GaussianBlur(canvas, (0, 0), 0.7 / grid.mm) / np.float32(9)


def ribs(grid: ProjectionGrid) -> Map:
    """Draw ribs and clavicles, in millimetres of bone."""
    b = grid.body
    back = np.zeros((grid.size, grid.size), np.uint8)
    front, collar = back.copy(), back.copy()
    i, sign = np.arange(10)[:, None], np.array([-1, 1])[:, None, None]
    y = b.apex - 6 + 0.098 * (b.base - b.apex) * i * (1 + 0.012 * i)
    fall = b.ribs * np.minimum(1, 0.5 + 0.1 * i)
    reach = wall(b, np.asarray(y + 0.45 * fall, np.float32))[0] + 5
    for canvas, wide, start, end in ((back, 11.5, 0.12, 1.75), (front, 12.5, 1.45, 2.45)):
        t = np.linspace(start, end, 24)
        x, down = reach * np.sin(t) ** 0.9, y + fall * ((1 - np.cos(t)) / 2) ** 0.85
        both = np.stack([sign * x, np.broadcast_to(down, (2, *down.shape))], -1)
        for part in grid.path(both):
            grid.ribbons(canvas, part, wide, 255)
            grid.ribbons(canvas, part, wide - 4, 165)
    t = np.linspace(0, 1, 16)
    x, y = 14 + (b.wide + 12) * t, b.apex + 38 - 44 * t + 9 * np.sin(2 * np.pi * t)
    both = grid.path(np.stack([sign[..., 0] * x, np.stack([y, y])], -1), -60)
    grid.ribbons(collar, both, 14, 255)
    grid.ribbons(collar, both, 9, 175)
    layers = ((back, 5.2), (front, 3.4), (collar, 8.0))
    bone = sum(layer * np.float32(mm * b.mineral / 255) for layer, mm in layers)
    return np.asarray(cv2.GaussianBlur(np.asarray(bone), (0, 0), 0.7 / grid.mm))


def joints(grid: ProjectionGrid) -> Map:
    """Draw spine, scapulae and humeri, in millimetres of bone."""
    b = grid.body
    x, y = grid.x - np.float32(60 * b.yaw), grid.y - np.float32(b.base)
    period = np.cos(y * np.float32(2 * np.pi / 24))
    body = dome((x / (17.5 + 1.8 * period)) ** 2, 7.5) * (0.82 + 0.18 * np.tanh(3 * period + 1.5))
    canvas = np.zeros((grid.size, grid.size), np.uint8)
    for level in range(-10, 12):
        for at, wide, high, grey in ((-11, 8, 10, 150), (11, 8, 10, 150), (0, 6, 14, 200)):
            col, row = grid.path([at + 60 * b.yaw, b.base + 24 * level])
            oval = ((col, row), (wide / grid.mm, high / grid.mm), 0.0)
            cv2.ellipse(canvas, oval, grey, -1)
    for sign in (-1, 1):
        w = b.wide
        blade = [(w + 26, -78), (w - 12, -92), (w - 6, -40), (w + 6, 18), (w + 20, -36)]
        path = fixed(grid.path([(sign * p, q) for p, q in blade]))
        layer = np.zeros_like(canvas)
        cv2.fillPoly(layer, [path], 90, cv2.LINE_AA, 4)
        cv2.polylines(layer, [path], True, 200, max(1, round(3 / grid.mm)), cv2.LINE_AA, 4)
        canvas += layer // 2
    bone = body + cv2.GaussianBlur(canvas, (0, 0), 1.6 / grid.mm) * np.float32(4 / 255)
    for sign in (-1, 1):
        top = (sign * (b.wide + 44), b.apex + 40)
        bone += 0.5 * grid.capsule(top, (sign * b.elbow, 160), 11)
        bone += 0.45 * grid.ellipsoid((*top, 0), (23, 24, 20))
    return np.asarray(bone * np.float32(b.mineral))


def flesh_of(grid: ProjectionGrid, rng: np.random.Generator) -> Map:
    """Compute soft tissue without lungs, in millimetres of water."""
    b = grid.body
    at = [-300, b.apex - 62, b.apex - 34, b.apex - 12, b.apex + 14, -55, -5, 60, 240]
    f = b.fat
    wide = [62, 56 + 0.4 * f, 68 + f, 118 + f, b.wide + 50, b.wide + 42 + f / 2]
    wide += [b.wide + 20 + f, b.wide + 16 + f, b.wide + 14 + 1.3 * f]
    deep = [58, 58, 62, 62, 72, b.deep + 8, b.deep + 14, b.deep + 16, b.deep + 14]
    line = np.linspace(-300, 300, 601, dtype=np.float32)
    table = [cv2.GaussianBlur(np.interp(line, at, v)[None], (0, 0), 9) for v in (wide, deep)]
    row, still = grid.y + np.float32(300), np.zeros_like(grid.y)
    half, depth = (cv2.remap(t.astype("f4"), row, still, cv2.INTER_LINEAR) for t in table)
    across = (grid.x / half) ** 2
    trunk: Map = (depth + np.float32(0.7 * f)) * dome(across * across, 1)
    arms = [((s * (b.wide + 40), b.apex + 44), (s * b.elbow, 160)) for s in (-1, 1)]
    for start, end in arms:
        trunk = np.maximum(trunk, grid.capsule(start, end, 40 + 0.3 * f))
    body = 2 * trunk
    if b.breast:
        for s in (-1, 1):
            centre = (s * 0.56 * b.wide, 0.36 * b.base + 0.8 * f, -100.0)
            bulge = grid.ellipsoid(centre, (b.breast, 0.9 * b.breast, 0.65 * b.breast))
            body += bulge * smooth((grid.y - 0.1 * b.base) / b.breast + 0.5)
    body *= 1 + 0.012 * clouds(rng, grid.size, 12) + 0.008 * clouds(rng, grid.size, 45)
    body -= 1.4 * grid.capsule((0, -260), (3, -48), 8.5)
    for s in (-1, 1):
        body -= 1.2 * grid.capsule((3, -48), (s * 34, -16), 6)
    if b.bubble > 10:
        spot = (0.5 * b.wide, b.base - b.domes[1] + 12 + b.bubble * 0.6, -40.0)
        body -= 1.6 * grid.ellipsoid(spot, (b.bubble * 1.3, b.bubble * 0.7, b.bubble))
    return np.asarray(np.maximum(body, 0))
