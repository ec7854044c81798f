"""Finds images that cannot be decoded before a training begins, not hours later."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rich.console import Console
from rich.progress import track

from xemplar.cli.terminal import plain
from xemplar.data.datasets import DatasetImage
from xemplar.errors import DatasetError, InputError
from xemplar.imaging import decode

from .distributed import Distributed

TOLERATED = 1000
"""One image in so many may be left out; more suggest that the data set is not what it should be."""

NAMED = 5
"""Most images that are named; the others are counted."""


def leave_out_unreadable(
    records: Sequence[DatasetImage], processes: Distributed, console: Console
) -> list[DatasetImage]:
    """Decodes every image once, and leaves out those that cannot be decoded, if they are few.

    Args:
        records: of the training and validation images, N.
        processes: of the training; each decodes its share.
        console: for progress and the images left out.

    Returns:
        Records of the images that can be decoded, in their order; the same in each process.

    Raises:
        DatasetError: more than one in `TOLERATED` cannot be; with their number and the first few.
    """
    size, rank = processes.world_size, processes.rank
    own = [records[(n * size + rank) % len(records)] for n in range(-(-len(records) // size))]
    faulty = [fault is not None for fault in _faults(own, console)]
    gathered = processes.gather(np.array(faulty, np.float32))[: len(records)]
    bad = [record for record, fault in zip(records, gathered, strict=True) if fault]
    if not bad:
        return list(records)
    if len(bad) * TOLERATED > len(records):
        named = "; ".join(f"the image {r.path} cannot be used: {_fault(r)}" for r in bad[:NAMED])
        more = len(bad) - NAMED
        others = f"; and {more:,} others of {len(records):,} images cannot, either" * (more > 0)
        raise DatasetError(
            f"{named}{others}; one image in {TOLERATED:,} may be left out, and these are "
            f"{len(bad):,} of {len(records):,}: repair them, or remove them from the label file"
        )
    for record in bad[:NAMED]:
        console.print(f"[yellow]left out[/] {plain(record.path)}: {plain(_fault(record) or '')}")
    console.print(
        f"[yellow]note[/] left out {len(bad):,} of {len(records):,} images: they cannot be decoded"
    )
    left_out = {id(record) for record in bad}
    return [record for record in records if id(record) not in left_out]


def _faults(records: Sequence[DatasetImage], console: Console) -> Iterator[str | None]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "decoder") as pool:
        faults = pool.map(_fault, records)
        yield from track(faults, "images", len(records), console=console, transient=True)


def _fault(record: DatasetImage) -> str | None:
    """Says why an image cannot be decoded; None if it can."""
    try:
        decode(record.path.read_bytes())
    except (OSError, InputError) as error:
        return str(error)
    return None
