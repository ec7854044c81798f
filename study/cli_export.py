"""``xemplar export`` and ``xemplar map``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from xemplar.api.search import CaseFilter
from xemplar.cli.environment import limit_threads
from xemplar.cli.options import options_from
from xemplar.cli.terminal import (
    DEFAULT_STORE,
    CheckpointOption,
    DatabaseOption,
    StoreOption,
    name_next,
    new_path,
    plain,
)

if TYPE_CHECKING:
    from xemplar.retrieval.archive import Archive


@options_from(CaseFilter, panel="Cases")
def export(
    out: Annotated[Path, typer.Option(help="New folder to write to.", callback=new_path)],
    options: dict[str, Any],
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    form: Annotated[
        str, typer.Option("--format", help="numpy, csv, or parquet (extra `export`).")
    ] = "numpy",
) -> None:
    """Write ids, embeddings, probabilities, findings and splits of an archive's cases.

    An embedding is personal data wherever the image is.

    Examples:
        xemplar export --store archive --out exported

        xemplar export --store archive --out exported --format parquet --sex F
    """
    limit_threads(os.environ)  # before the first import of numpy
    from .export import NOTICE, Format
    from .export import export as run

    if form not in list(Format):
        raise typer.BadParameter(f"--format {form!r} is none of {', '.join(Format)}")
    with _opened(store, checkpoint, database) as archive:
        found = archive.embeddings(**options)
        run(found, out, Format(form), {"checkpoint": archive.checkpoint.digest})
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[yellow]note[/] {plain(NOTICE)}")
    Console(soft_wrap=True, highlight=False).print(f"{len(found):,} cases in {plain(out)}")
    name_next("map", "--store", str(store), "--out", "map.html")


@options_from(CaseFilter, panel="Cases")
def map_archive(
    out: Annotated[Path, typer.Option(help="New HTML file to write.", callback=new_path)],
    options: dict[str, Any],
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    method: Annotated[
        str, typer.Option(help="pacmap (extra `map`), or pca, which needs nothing.")
    ] = "pacmap",
    seed: Annotated[int, typer.Option(help="Of the projection.")] = 0,
) -> None:
    """Draw an archive as points in a plane, by finding, source, view, sex or split.

    The page needs no network. It shows ids and labels of cases, and no image.

    Examples:
        xemplar map --store archive --out map.html
    """
    limit_threads(os.environ)  # before the first import of numpy
    from xemplar.archive.artefact import write_file

    from .map import Method, map_page, project

    if method not in list(Method):
        raise typer.BadParameter(f"--method {method!r} is none of {', '.join(Method)}")
    with _opened(store, checkpoint, database) as archive:
        found = archive.embeddings(**options)
    points = project(found.vectors, Method(method), seed)
    write_file(out, map_page(found, points, Method(method)).encode())
    Console(soft_wrap=True, highlight=False).print(f"{len(found):,} cases in {plain(out)}")
    name_next("export", "--store", str(store), "--out", "exported")


def _opened(store: Path, checkpoint: Path | None, database: str) -> "Archive":
    from xemplar.retrieval.archive import Archive

    return Archive.open(store, checkpoint=checkpoint, database=database)
