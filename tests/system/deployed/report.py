"""Collects figures and faults."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Report:
    """Figures and faults, printed as they come.

    Attributes:
        figures: (what, value).
        faults: as messages.
    """

    def __init__(self) -> None:
        self.figures: list[tuple[str, str]] = []
        self.faults: list[str] = []

    def timed(self, what: str, do: Callable[[], T]) -> T:
        """Run a step and record its duration."""
        print(f"\n== {what}", flush=True)
        began = time.monotonic()
        done = do()
        self.measured(what, f"{time.monotonic() - began:.1f} s")
        return done

    def measured(self, what: str, value: str) -> None:
        """Record a figure."""
        self.figures.append((what, value))
        print(f"-- {what}: {value}", flush=True)

    def expect(self, right: bool, otherwise: str) -> None:
        """Record a fault unless ``right``."""
        if not right:
            self.faults.append(otherwise)
            print(f"-- FAULT: {otherwise}", flush=True)
