"""Commands ``xemplar generations list|check|activate|prune|purge|calibrate``."""

from pathlib import Path
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
    progress,
)

if TYPE_CHECKING:
    from xemplar.index import SimilarityCalibration

generations = typer.Typer(no_args_is_help=True, help="List index generations, or go back to one.")


@generations.command("list")
def list_generations(store: StoreOption = DEFAULT_STORE, index_url: IndexUrlOption = "") -> None:
    """List the generations in a store, oldest first, marking live and damaged ones."""
    from xemplar.archive.store import Store
    from xemplar.errors import ArtefactError, NothingIndexed
    from xemplar.index import DamagedGeneration, current
    from xemplar.index import generations as all_generations

    place = Store(store, index_url)
    found = all_generations(place)
    if not found:
        raise NothingIndexed(f"there is no generation in {store}; run `xemplar index FOLDER`")
    try:
        live = current(place)
    except ArtefactError:  # none, or one that is gone: this list helps to choose another
        live = ""
    # no wrapping or truncation on narrow terminals: `activate` needs the exact name
    titles = ("", "name", "cases", "checkpoint", "index", "recall@10")
    table = Table(*(Column(title, no_wrap=True, overflow="ignore") for title in titles), box=None)
    for one in found:
        if isinstance(one, DamagedGeneration):
            table.add_row("damaged", plain(one.name))
            continue
        table.add_row(
            "live" if one.name == live else "",
            plain(one.name),
            f"{one.count:,}",
            one.checkpoint[:12],
            plain(one.factory),
            f"{one.recall_at_10:.3f}",
        )
    Console(soft_wrap=True).print(table, crop=False)
    for one in found:
        if isinstance(one, DamagedGeneration):
            Console(stderr=True, soft_wrap=True).print(plain(one.fault), highlight=False)


@generations.command()
def check(store: StoreOption = DEFAULT_STORE, index_url: IndexUrlOption = "") -> None:
    """Compare all files of all generations with their digests; fails if one was changed.

    A service only compares sizes when it opens a generation, as reading all files takes long.
    Publication, backup and restore compare digests, too. Milvus keeps none: generations there are
    loaded, and their cases counted.
    """
    from xemplar.archive.store import Store
    from xemplar.errors import CorruptArtefact
    from xemplar.index import DamagedGeneration, check_content
    from xemplar.index import generations as all_generations

    place, faults = Store(store, index_url), []
    for one in all_generations(place):
        fault = one.fault if isinstance(one, DamagedGeneration) else ""
        if not isinstance(one, DamagedGeneration):
            try:
                check_content(place, one.name)
            except CorruptArtefact as error:
                fault = str(error)
        Console(highlight=False).print(f"{plain(one.name)} {'damaged' if fault else 'intact'}")
        faults += [fault] if fault else []
    for fault in faults:
        Console(stderr=True, soft_wrap=True, highlight=False).print(plain(fault))
    if faults:
        raise typer.Exit(1)


@generations.command()
def activate(
    name: Annotated[str, typer.Argument(help="Name as shown by `xemplar generations list`.")],
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
) -> None:
    """Make a generation live, for example to go back to an older one.

    An unusable generation, such as one with damaged files, is refused without any change.
    """
    from xemplar.archive.store import Store
    from xemplar.catalog import open_catalog
    from xemplar.model.checkpoint import default_checkpoint
    from xemplar.retrieval.snapshot import publish_usable

    place = Store(store, index_url)
    with open_catalog(database or place.database_url) as catalog:
        publish_usable(name, place, catalog, checkpoint or default_checkpoint())
    Console().print(f"{plain(name)} is live; running services switch to it within seconds")


@generations.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="Newest generations to keep.")] = 3,
    store: StoreOption = DEFAULT_STORE,
    index_url: IndexUrlOption = "",
) -> None:
    """Delete old generations permanently; the live one is always kept.

    No other data is lost: the catalog contains all embeddings, and an index can be rebuilt.

    Example:
        xemplar generations prune --keep 2 --store archive
    """
    from xemplar.archive.store import Store
    from xemplar.index import current, remove
    from xemplar.index import generations as all_generations

    place = Store(store, index_url)
    live = current(place)
    names = [one.name for one in all_generations(place)]
    old = [name for name in names[:-keep] if name != live]
    for name in old:
        remove(place, name)
    Console(highlight=False).print(
        f"{len(old)} deleted, {len(names) - len(old)} kept; {live} is live"
    )


@generations.command()
def purge(
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
) -> None:
    """Delete embeddings and maps of removed cases from disk now, as a worker does daily.

    If the live index contains some, a new one without them is built and published. All other
    generations that contain some are deleted and can no longer be activated.

    Example:
        xemplar generations purge --store archive
    """
    from xemplar.archive.store import Store
    from xemplar.catalog import open_catalog
    from xemplar.model.checkpoint import default_checkpoint, load
    from xemplar.retrieval.snapshot import live_checkpoint

    from .cli_jobs import ProgressBar, encoder_of
    from .purge import purge as run

    place = Store(store, index_url)
    loaded = load(live_checkpoint(place, checkpoint or default_checkpoint()))
    with open_catalog(database or place.database_url) as catalog:
        total = catalog.count(loaded.digest)
        with progress("cases", total) as move:
            encoder = encoder_of(loaded, "auto", 0)
            deleted = run(place, catalog, loaded, encoder, ProgressBar(move, total))
    Console(highlight=False).print(
        f"{len(deleted)} generations with removed cases deleted; no others contain any"
        if deleted
        else "no generation contains removed cases"
    )


@generations.command()
def calibrate(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="similarity.json of `xemplar evaluate ranking`. Without it, the indexed cases are "
            "compared with each other: only for images that the network was not trained on.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
) -> None:
    """Republish the live index with a measured calibration of similarity.

    Examples:
        xemplar generations calibrate report/similarity.json --store archive
        xemplar generations calibrate --store phantoms
    """
    from xemplar.archive.store import Store
    from xemplar.catalog import open_catalog
    from xemplar.indexing.publishing import build_generation
    from xemplar.indexing.self_calibration import calibrate_on_own_cases
    from xemplar.model.checkpoint import default_checkpoint, load
    from xemplar.retrieval.snapshot import live_checkpoint

    read = None if file is None else _calibration(file)
    place = Store(store, index_url)
    loaded = load(live_checkpoint(place, checkpoint or default_checkpoint()))
    with open_catalog(database or place.database_url) as catalog:
        measured = read or calibrate_on_own_cases(catalog, loaded.digest)
        published = build_generation(place, catalog, loaded, calibration=measured)
    Console().print(
        f"{published.name} is live, calibrated; running services switch to it within seconds"
    )


def _calibration(file: Path) -> "SimilarityCalibration":
    import json

    from xemplar.errors import ConfigurationError
    from xemplar.index import SimilarityCalibration

    try:
        fields = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    return SimilarityCalibration.from_dict(fields)
