"""Silence of the libraries that handle a patient's header.

pydicom and highdicom warn of values that break a rule, and copy attributes with a line in the log;
both quote what they found. pynetdicom logs what it received, UIDs and exceptions included. A
program that handles names logs none of it.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LIBRARIES = ("pydicom", "highdicom")

_silent: ContextVar[bool] = ContextVar("silent", default=False)


class _Silence(logging.Filter):
    """Drops records of code that runs within `silenced`, in its thread or task alone."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's interface
        return not _silent.get()


_SILENCE = _Silence()


@contextmanager
def silenced() -> Iterator[None]:
    """Let neither warnings nor log records of `LIBRARIES` out while the block runs."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in LIBRARIES:
            # a logger's filter does not see its children's records; adding it again does nothing
            logging.getLogger(name).addFilter(_SILENCE)
    token = _silent.set(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="|".join(LIBRARIES))
            yield
    finally:
        _silent.reset(token)


def quiet_network() -> None:
    """Let no log record of pynetdicom out of this process; the node logs what happens itself."""
    log = logging.getLogger("pynetdicom")
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())
