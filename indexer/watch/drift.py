"""Drift of a window of arrived images against a reference, within each view, and what moved.

A window's statistic is compared with that of windows of equal size that are drawn from the
reference itself, so that nothing is assumed of its distribution, and the rate of false alarms is
what it says. Each patient counts once: images of one are alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from xemplar.errors import InvalidArgument

Floats: TypeAlias = npt.NDArray[np.float64]

DRAWS = 999
"""Windows drawn from the reference: p is then a multiple of 0.001."""

ALARM = 0.01
"""Chance of an alarm without drift, for each view of each window."""

FEWEST = 8
"""Images in a window from which on it is judged."""

ALL_VIEWS = "all views"


@dataclass(frozen=True, eq=False)
class Images:
    """N images, of which each patient has one in each view.

    Attributes:
        vectors: float32 (N, C), unit embeddings.
        views: str (N,); "" where unknown.
        numbers: name -> float64 (N,), NaN where unknown: age, exposure, contrast.
        kinds: name -> str (N,), "" where unknown: sex, source.
    """

    vectors: npt.NDArray[np.float32]
    views: npt.NDArray[np.str_]
    numbers: Mapping[str, Floats]
    kinds: Mapping[str, npt.NDArray[np.str_]]

    def __len__(self) -> int:
        return len(self.vectors)

    def among(self, rows: npt.NDArray[np.generic]) -> "Images":
        """Return some of the images, by mask or by row."""
        return Images(
            self.vectors[rows],
            self.views[rows],
            {name: values[rows] for name, values in self.numbers.items()},
            {name: values[rows] for name, values in self.kinds.items()},
        )


@dataclass(frozen=True)
class Moved:
    """A property of the images, before and now.

    Attributes:
        name: such as "age".
        before: mean in the reference, or the most frequent kinds with their shares.
        now: likewise in the window.
        p: chance of as large a change without drift.
    """

    name: str
    before: str
    now: str
    p: float


@dataclass(frozen=True)
class Drift:
    """Drift of one view, or of the mix of views.

    Attributes:
        view: its name; "" where unknown, or `ALL_VIEWS`.
        arrived: number of images in the window.
        reference: number of images that they are compared with.
        distance: of the windows' mean embedding from the reference's, in units of what windows
            without drift reach in 99 of 100 cases; above 1 is an alarm. None where the window or
            the reference is too small, or views are mixed.
        p: chance of as large a distance without drift; None likewise.
        moved: properties that changed, the surest first; empty if none did.
    """

    view: str
    arrived: int
    reference: int
    distance: float | None = None
    p: float | None = None
    moved: tuple[Moved, ...] = field(default=())

    @property
    def alarm(self) -> bool:
        """True if the images of the window are not like those of the reference."""
        if self.view == ALL_VIEWS:
            return bool(self.moved)
        return self.p is not None and self.p <= ALARM


def drift(reference: Images, arrived: Images, seed: int = 0, draws: int = DRAWS) -> list[Drift]:
    """Compare a window with a reference, view by view.

    Args:
        reference: images that were indexed before; see `Images`.
        arrived: images of the window.
        seed: of the drawn windows.
        draws: number of them.

    Returns:
        The mix of views first, then each view of the window, the most frequent first.

    Raises:
        InvalidArgument: a window or a reference without images.
    """
    if not len(reference) or not len(arrived):
        raise InvalidArgument(
            f"{len(arrived)} images arrived and {len(reference)} are indexed; both are needed to "
            "compare them"
        )
    draw = np.random.default_rng(seed)
    found = [_mix(reference, arrived, draw, draws)]
    names, counts = np.unique(arrived.views, return_counts=True)
    for view in names[np.argsort(-counts, kind="stable")]:
        part, before = (
            arrived.among(arrived.views == view),
            reference.among(reference.views == view),
        )
        found.append(_within(str(view), before, part, draw, draws))
    return found


def distance_of_means(
    reference: Images, arrived: Images, draw: np.random.Generator, draws: int
) -> tuple[float, Floats]:
    """Distance of a window's mean embedding from the reference's, and that of drawn windows.

    A drawn window is compared with the rest of the reference, as an arrived one is with all of it.

    Returns:
        The window's distance, and float64 (draws,).
    """
    vectors = reference.vectors.astype(np.float64)
    mean, count, size = vectors.mean(axis=0), len(reference), len(arrived)
    own = float(np.linalg.norm(arrived.vectors.astype(np.float64).mean(axis=0) - mean))
    rows = _windows(count, size, draw, draws)
    means = np.stack([vectors[window].mean(axis=0) for window in rows])
    return own, np.linalg.norm(means - mean, axis=1) * count / (count - size)


def _within(
    view: str, reference: Images, arrived: Images, draw: np.random.Generator, draws: int
) -> Drift:
    size = len(arrived)
    if size < FEWEST or len(reference) < 2 * size:
        return Drift(view, size, len(reference))
    own, others = distance_of_means(reference, arrived, draw, draws)
    moved = _moved(reference, arrived, draw, draws)
    usual = float(np.quantile(others, 1 - ALARM))
    return Drift(view, size, len(reference), own / usual, _chance(own, others), moved)


def _mix(reference: Images, arrived: Images, draw: np.random.Generator, draws: int) -> Drift:
    """Compare the shares of views."""
    size = len(arrived)
    if size < FEWEST or len(reference) < 2 * size:
        return Drift(ALL_VIEWS, size, len(reference))
    rows = _windows(len(reference), size, draw, draws)
    changed = _of_kinds("view", reference.views, arrived.views, rows)
    moved = (changed,) if changed.p <= ALARM else ()
    return Drift(ALL_VIEWS, size, len(reference), p=changed.p, moved=moved)


def _moved(
    reference: Images, arrived: Images, draw: np.random.Generator, draws: int
) -> tuple[Moved, ...]:
    """Name the properties that changed, the surest first.

    Each is tested at `ALARM` over the number of properties, so that one of a hundred windows
    without drift names any.
    """
    rows = _windows(len(reference), len(arrived), draw, draws)
    found = [
        _of_numbers(name, values, arrived.numbers[name], rows)
        for name, values in reference.numbers.items()
    ]
    found += [
        _of_kinds(name, values, arrived.kinds[name], rows)
        for name, values in reference.kinds.items()
    ]
    named = [one for one in found if one is not None and one.p <= ALARM / len(found)]
    return tuple(sorted(named, key=lambda one: one.p))


def _of_numbers(name: str, before: Floats, now: Floats, rows: npt.NDArray[np.intp]) -> Moved | None:
    """Compare means; None where nothing is known."""
    if not np.isfinite(before).any() or not np.isfinite(now).any():
        return None
    mean = float(np.nanmean(before))
    drawn = before[rows]
    known = np.isfinite(drawn)
    counts = known.sum(axis=1)
    sums = np.where(known, drawn, 0.0).sum(axis=1)
    others = np.abs(sums[counts > 0] / counts[counts > 0] - mean)
    own = abs(float(np.nanmean(now)) - mean)
    return Moved(name, f"{mean:.3g}", f"{float(np.nanmean(now)):.3g}", _chance(own, others))


def _of_kinds(
    name: str,
    before: npt.NDArray[np.str_],
    now: npt.NDArray[np.str_],
    rows: npt.NDArray[np.intp],
) -> Moved:
    """Compare shares by their total variation distance."""
    names = np.unique(np.concatenate([before, now]))
    codes = np.searchsorted(names, before)
    shares = np.bincount(codes, minlength=len(names)) / len(before)
    windows = np.stack([np.bincount(codes[window], minlength=len(names)) for window in rows])
    others = np.abs(windows / rows.shape[1] - shares).sum(axis=1) / 2
    here = np.bincount(np.searchsorted(names, now), minlength=len(names)) / len(now)
    own = float(np.abs(here - shares).sum() / 2)
    return Moved(name, _shares(names, shares), _shares(names, here), _chance(own, others))


def _shares(names: npt.NDArray[np.str_], shares: Floats) -> str:
    order = np.argsort(-shares, kind="stable")[:3]
    return ", ".join(f"{names[n] or 'unknown'} {shares[n]:.0%}" for n in order if shares[n] > 0)


def _windows(count: int, size: int, draw: np.random.Generator, draws: int) -> npt.NDArray[np.intp]:
    """Draw windows of distinct images, (draws, size)."""
    return np.stack([draw.choice(count, size, replace=False) for _ in range(draws)])


def _chance(own: float, others: Floats) -> float:
    """P value of a Monte Carlo test (Davison & Hinkley, 1997, section 4.2)."""
    return float((1 + np.count_nonzero(others >= own - 1e-12)) / (1 + len(others)))
