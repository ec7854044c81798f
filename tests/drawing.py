"""Figures in tests: nearly all want one to be there, and do not look at it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from matplotlib.figure import Figure

DPI = 20


@contextmanager
def coarse_figures() -> Iterator[None]:
    """Draws figures with few pixels and without laying them out: a tenth of the time."""
    as_it_is = Figure.savefig

    def savefig(figure: Figure, *args: Any, **options: Any) -> None:
        figure.set_layout_engine("none")
        as_it_is(figure, *args, **{**options, "dpi": DPI})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield
