"""Commands ``xemplar reindex``, ``xemplar worker`` and ``xemplar jobs``."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from xemplar.cli.environment import limit_threads
from xemplar.cli.terminal import (
    DEFAULT_STORE,
    CheckpointOption,
    DatabaseOption,
    FactoryOption,
    IndexUrlOption,
    PrecisionOption,
    StoreOption,
    ThreadsOption,
    name_next,
    plain,
    progress,
)

if TYPE_CHECKING:
    from xemplar.archive.store import Store
    from xemplar.catalog import Catalog
    from xemplar.model.checkpoint import Checkpoint
    from xemplar.model.encoder import Encoder
    from xemplar.operations.jobs import Job

    from .worker import JobWatcher


jobs = typer.Typer(no_args_is_help=True, help="List background jobs, or cancel one.")


class ProgressBar:
    """Shows the progress of a reindex (see `indexer.reindex.ProgressWatcher`)."""

    def __init__(self, move: Callable[[int], None], total: int) -> None:
        self._move = move
        self._total = total

    def moved(self, done: int, total: int) -> None:
        """Implements `ProgressWatcher.moved`."""
        self._move(done * self._total // total)

    def say(self, line: str) -> None:
        """Implements `ProgressWatcher.say`."""
        Console(stderr=True, soft_wrap=True, highlight=False).print(plain(line))

    def confirm(self) -> None:
        """Implements `ProgressWatcher.confirm`: only Ctrl-C stops a command."""


def reindex(
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
    factory: FactoryOption = "",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
    background: Annotated[
        bool, typer.Option("--background", help="Queue a job for a worker and return.")
    ] = False,
) -> None:
    """Build and publish a new index of all cases from stored data, without reading images again.

    With another checkpoint, all images are embedded again; a running service uses the old
    checkpoint and index until the new index is checked and published, then switches to both.

    Examples:
        xemplar reindex --store archive

        xemplar reindex --store archive --checkpoint runs/second/checkpoint.safetensors
    """
    limit_threads(os.environ)  # before the first import of numpy
    from xemplar.archive.store import Store
    from xemplar.catalog import open_catalog
    from xemplar.index import known_factory
    from xemplar.model.checkpoint import default_checkpoint, keep, load
    from xemplar.operations.jobs import Jobs

    from .reindex import reindex as run

    place, path = Store(store, index_url), checkpoint or default_checkpoint()
    loaded = load(path)
    if factory:
        known_factory(place, factory)  # refuses an unknown one before the long work
    with open_catalog(database or place.database_url) as catalog:
        keep(path, place)
        if background:
            parameters = {"checkpoint": loaded.digest, "factory": factory}
            job = Jobs(catalog.engine).create("reindex", parameters)
            Console(soft_wrap=True, highlight=False).print(
                f"job {job.id} is queued; `xemplar worker` runs it, `xemplar jobs list` shows it"
            )
            return
        encoder = encoder_of(loaded, precision, threads)
        with progress("cases", catalog.count()) as move:
            bar = ProgressBar(move, catalog.count())
            published = run(place, catalog, loaded, encoder, bar, factory=factory)
    Console(highlight=False).print(
        f"{published.name} is live; running services switch to it within seconds"
    )
    name_next("serve", "--store", str(store))


def worker(
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
    lease: Annotated[
        int,
        typer.Option(
            min=3, help="Seconds without a heartbeat after which another worker takes its job."
        ),
    ] = 30,
) -> None:
    """Run queued jobs one at a time, until stopped: Ctrl-C waits for the job, SIGTERM does not.

    A job whose worker was stopped or killed is restarted by the next worker.

    Example:
        xemplar worker --store archive
    """
    limit_threads(os.environ)  # before the first import of numpy
    import logging
    from datetime import timedelta

    from xemplar.archive.store import Store
    from xemplar.catalog import migrate, open_catalog
    from xemplar.model.checkpoint import default_checkpoint
    from xemplar.operations.jobs import Jobs
    from xemplar.operations.removals import PURGE

    from .worker import Worker

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("xemplar").setLevel(logging.INFO)
    place = Store(store, index_url)
    url = database or place.database_url
    migrate(url, place)
    with open_catalog(url) as catalog:

        def work(job: "Job", watch: "JobWatcher") -> Mapping[str, Any]:
            other = checkpoint or default_checkpoint()
            return _reindexed(job, watch, place, catalog, other, precision, threads)

        def purge(_: "Job", watch: "JobWatcher") -> Mapping[str, Any]:
            other = checkpoint or default_checkpoint()
            return _purged(watch, place, catalog, other, precision, threads)

        jobs_of_catalog = Jobs(catalog.engine, timedelta(seconds=lease))
        one = Worker(jobs_of_catalog, {"reindex": work, PURGE: purge})
        logging.getLogger("xemplar.worker").info("worker %s listens", one.name)
        one.listen()


@jobs.command("list")
def list_jobs(store: StoreOption = DEFAULT_STORE, database: DatabaseOption = "") -> None:
    """List the newest jobs.

    Example:
        xemplar jobs list --store archive
    """
    from xemplar.archive.store import Store
    from xemplar.catalog import open_catalog
    from xemplar.operations.jobs import Jobs

    with open_catalog(database or Store(store).database_url) as catalog:
        found = Jobs(catalog.engine).newest()
    titles = ("job", "kind", "state", "done", "attempts", "created (UTC)", "error")
    table = Table(*(Column(title, overflow="fold") for title in titles), box=None)
    for job in found:
        done = f"{job.done:,} of {job.total:,}" if job.total is not None else ""
        created = f"{job.created_at:%Y-%m-%d %H:%M:%S}"
        row = (job.id, job.kind, job.state, done, job.attempts, created, job.error or "")
        table.add_row(*map(plain, row))
    Console().print(table)


@jobs.command()
def cancel(
    job_id: Annotated[str, typer.Argument(help="Id as shown by `xemplar jobs list`.")],
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
) -> None:
    """Cancel a job; its finished work is kept, and nothing is published.

    Example:
        xemplar jobs cancel 5f2b6c0a9d3e4f71 --store archive
    """
    from xemplar.archive.store import Store
    from xemplar.catalog import open_catalog
    from xemplar.operations.jobs import Jobs, JobState

    with open_catalog(database or Store(store).database_url) as catalog:
        job = Jobs(catalog.engine).cancel(job_id)
    running = job.state is JobState.RUNNING
    Console(highlight=False).print(f"{job.id} {'will stop' if running else f'is {job.state}'}")


def encoder_of(checkpoint: "Checkpoint", precision: str, threads: int) -> "Callable[[], Encoder]":
    """Return a function that opens the encoder of a checkpoint when needed."""
    from xemplar.model.encoder import Precision, open_encoder

    return lambda: open_encoder(checkpoint, precision=Precision(precision), threads=threads)


def _reindexed(
    job: "Job",
    watch: "JobWatcher",
    store: "Store",
    catalog: "Catalog",
    other: Path,
    precision: str,
    threads: int,
) -> Mapping[str, Any]:
    """Run a reindex job with the checkpoint that it names."""
    from xemplar.model.checkpoint import find, keep, load

    from .reindex import reindex as run

    path = keep(find(job.parameters["checkpoint"], store, other), store)
    checkpoint = load(path)
    published = run(
        store,
        catalog,
        checkpoint,
        encoder_of(checkpoint, precision, threads),
        watch,
        factory=job.parameters["factory"],
    )
    return {
        "generation": published.name,
        "cases": published.count,
        "checkpoint": checkpoint.digest,
    }


def _purged(
    watch: "JobWatcher",
    store: "Store",
    catalog: "Catalog",
    other: Path,
    precision: str,
    threads: int,
) -> Mapping[str, Any]:
    """Run a purge job with the live generation's checkpoint."""
    from xemplar.model.checkpoint import load
    from xemplar.retrieval.snapshot import live_checkpoint

    from .purge import purge

    checkpoint = load(live_checkpoint(store, other))
    encoder = encoder_of(checkpoint, precision, threads)
    return {"deleted": list(purge(store, catalog, checkpoint, encoder, watch))}
