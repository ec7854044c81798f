"""What was measured, and what was wrong."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Report:
    """Figures and faults, printed as they come.

    Attributes:
        figures: (what, value).
        faults: in words.
    """

    def __init__(self) -> None:
        self.figures: list[tuple[str, str]] = []
        self.faults: list[str] = []

    def timed(self, what: str, do: Callable[[], T]) -> T:
        """Do a step, and write down how long it took."""
        print(f"\n== {what}", flush=True)
        began = time.monotonic()
        done = do()
        self.measured(what, f"{time.monotonic() - began:.1f} s")
        return done

    def measured(self, what: str, value: str) -> None:
        """Write a figure down."""
        self.figures.append((what, value))
        print(f"-- {what}: {value}", flush=True)

    def expect(self, right: bool, otherwise: str) -> None:
        """Write a fault down, unless all is right."""
        if not right:
            self.faults.append(otherwise)
            print(f"-- FAULT: {otherwise}", flush=True)
