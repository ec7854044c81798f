"""``xemplar watch``: does what arrives still look like what is indexed?"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from xemplar.cli.terminal import (
    DEFAULT_STORE,
    CheckpointOption,
    DatabaseOption,
    IndexUrlOption,
    StoreOption,
    plain,
)

if TYPE_CHECKING:
    from .drift import Drift

DRIFTED = 3
"""Exit status where something drifted, apart from 1 (an error) and 2 (a wrong option)."""


def watch(
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="Cases indexed from then on (UTC) have arrived; earlier ones are the reference. "
            "Default: a week ago.",
        ),
    ] = None,
    window: Annotated[
        int, typer.Option(min=8, max=2000, help="Most images of the window: the latest.")
    ] = 200,
    every: Annotated[
        float, typer.Option(min=0, help="Hours between comparisons; 0: compare once and exit.")
    ] = 0,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the metrics, with --every.")
    ] = 9108,
    host: Annotated[str, typer.Option(help="Address of the metrics, with --every.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="Seed of the windows drawn for comparison.")] = 0,
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
) -> None:
    """Compare the images that arrived with those indexed before, and name what moved.

    Within each view, so that a week with more bedside images is no alarm of its own. Exits with 3
    if something drifted; with --every, goes on and serves Prometheus metrics instead. A false alarm
    is expected in one of a hundred windows of each view.

    Examples:
        xemplar watch --store archive --since 2026-11-01

        xemplar watch --store archive --every 6 --port 9108
    """
    from xemplar.archive.store import Store
    from xemplar.model.checkpoint import default_checkpoint, load
    from xemplar.retrieval.snapshot import live_checkpoint

    from .arrivals import read_arrivals
    from .drift import drift

    place = Store(store, index_url)

    def compared() -> "Sequence[Drift]":
        network = load(live_checkpoint(place, checkpoint or default_checkpoint()))
        begin = since.replace(tzinfo=UTC) if since else datetime.now(UTC) - timedelta(days=7)
        reference, arrived = read_arrivals(place, database, network, begin, window, seed)
        return drift(reference, arrived, seed) if len(arrived) else ()

    if every:
        _serve(compared, every, host, port)
    found = compared()
    _print(found)
    if any(one.alarm for one in found):
        raise typer.Exit(DRIFTED)


def _serve(compared: Callable[[], "Sequence[Drift]"], every: float, host: str, port: int) -> None:
    """Compare again and again, and serve the latest result; ends with the process."""
    from prometheus_client import start_http_server

    from xemplar.errors import ArtefactError, StorageError

    from .metrics import DriftMetrics

    metrics = DriftMetrics()
    start_http_server(port, host, metrics.registry)
    Console(soft_wrap=True, highlight=False).print(f"metrics: http://{host}:{port}/metrics")
    while True:
        try:
            found = compared()
        except (ArtefactError, StorageError) as error:
            # as while the first images are indexed; the alert on the age tells if it lasts
            Console(stderr=True, soft_wrap=True).print(plain(error), highlight=False)
        else:
            metrics.show(found, time.time())
            _print(found)
        time.sleep(every * 3600)


def _print(found: "Sequence[Drift]") -> None:
    console = Console(soft_wrap=True, highlight=False)
    if not found:
        console.print("nothing has arrived")
        return
    titles = ("", "view", "arrived", "indexed", "distance", "p", "what moved")
    table = Table(*(Column(title, no_wrap=True, overflow="ignore") for title in titles), box=None)
    for one in found:
        moved = "; ".join(f"{m.name}: {m.before} -> {m.now}" for m in one.moved)
        table.add_row(
            "drift" if one.alarm else "",
            plain(one.view or "unknown"),
            f"{one.arrived:,}",
            f"{one.reference:,}",
            "" if one.distance is None else f"{one.distance:.2f}",
            "" if one.p is None else f"{one.p:.3f}",
            plain(moved),
        )
    console.print(table, crop=False)
    if all(one.p is None for one in found):
        console.print("too few images arrived, or are indexed, to compare them")
