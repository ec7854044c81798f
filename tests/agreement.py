"""Tolerances that follow from arithmetic, and a patience that no busy machine exhausts."""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

ROUNDINGS = 256
"""Roundings that may add up between two orders of the same float32 sums: those of a tiny network
are sums of up to a few thousand products, whose errors grow with the root of their number."""

PATIENCE = 240.0
"""Seconds after which a condition is given up; below pytest's own limit, so that it is named."""


def assert_agree(
    found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32], scale: float | None = None
) -> None:
    """Compare float32 results of two processors, or of two orders of summation.

    Args:
        found: of the code under test.
        wanted: of the reference, the same shape.
        scale: of the largest terms that were summed, where they cancel; the largest result if None.
    """
    largest = float(np.abs(wanted).max()) if scale is None else scale
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol=ROUNDINGS * float(np.finfo(np.float32).eps) / 2 * largest
    )


def wait_until(condition: Callable[[], bool], pause: float = 0.02) -> None:
    """Wait for a condition, however long a busy machine takes."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE, "the condition never came true"
        time.sleep(pause)
