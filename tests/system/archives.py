"""Restores hostile archives and checks the results; part of `tests.system.attack`."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xemplar_indexer.backup import restore

from tests.hostile_archives import ARCHIVES
from tests.system.common import show
from xemplar.archive.store import Store
from xemplar.errors import XemplarError

REFUSED_SECONDS = 5.0


@dataclass(frozen=True)
class Attempt:
    """An attempted restore.

    Attributes:
        name: of the archive.
        said: class of the refusal; "" if there was none.
        seconds: until the refusal.
        left: files left in the folder around the store.
    """

    name: str
    said: str
    seconds: float
    left: tuple[str, ...]


def attempt(name: str, archive: bytes, folder: Path) -> Attempt:
    """Restore an archive into a store below an empty folder.

    Any error other than a refusal (`XemplarError`) ends the check, as it would end the command.
    """
    store, said = Store(folder / "store"), ""
    began = time.perf_counter()
    try:
        restore(io.BytesIO(archive), store, store.database_url, without_key=True)
    except XemplarError as refusal:
        said = type(refusal).__name__
    seconds = time.perf_counter() - began
    left = tuple(str(path.relative_to(folder)) for path in folder.rglob("*") if path != store.root)
    return Attempt(name, said, seconds, left)


def restore_all(folder: Path) -> list[Attempt]:
    """Restore each of `ARCHIVES` below a folder."""
    attempts = []
    for number, (name, make) in enumerate(ARCHIVES.items()):
        below = folder / str(number)
        below.mkdir(parents=True)
        attempts.append(attempt(name, make(), below))
    return attempts


def archive_faults(attempts: Sequence[Attempt]) -> list[str]:
    """List the archives' violations."""
    found = []
    for one in attempts:
        if not one.said:
            found.append(f"archive, {one.name}: it was restored")
        if one.left:
            found.append(f"archive, {one.name}: it left {', '.join(one.left[:3])}")
        if one.seconds > REFUSED_SECONDS:
            found.append(f"archive, {one.name}: refused after {one.seconds:.1f} s")
    return found


def report_archives(attempts: Sequence[Attempt]) -> None:
    """Print the figures."""
    rows = [(one.name, one.said, f"{1000 * one.seconds:.0f}") for one in attempts]
    show("hostile archives, restored", ("archive", "refused as", "after, ms"), rows)
