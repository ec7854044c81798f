"""``xemplar inspect``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from xemplar.cli.environment import limit_threads
from xemplar.cli.terminal import (
    ColumnsOption,
    PatientsOption,
    TableOption,
    UnknownFindingsOption,
    bars,
    columns_of,
    name_next,
    new_path,
    plain,
)

if TYPE_CHECKING:
    from .inspection import Inspection
    from .overview import Part

SHOWN = 10
"""Files of a kind that are named on the terminal; the others are counted."""

FoldersArgument = Annotated[
    list[Path],
    typer.Argument(help="Data sets, or plain folders of images.", exists=True, file_okay=False),
]
SourcesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="NAME",
        help="Name of a data set instead of its folder's; once per data set, in their order.",
    ),
]
PicturesOption = Annotated[
    int,
    typer.Option(
        "--pictures",
        min=0,
        help="Most images to decode, to find damaged ones and near-duplicates.",
    ),
]


def inspect(
    folders: FoldersArgument,
    out: Annotated[
        Path | None,
        typer.Option(help="New HTML file to write, with a contact sheet.", callback=new_path),
    ] = None,
    fix_columns: Annotated[
        bool,
        typer.Option(
            "--fix-columns",
            help="Write columns.toml into the folder: how index reads its table.",
        ),
    ] = False,
    source: SourcesOption = None,
    patients: PatientsOption = None,
    table: TableOption = None,
    columns: ColumnsOption = None,
    unknown_findings: UnknownFindingsOption = "refuse",
    pictures: PicturesOption = 2000,
) -> None:
    """Tell what lies in a folder and how it would be read; nothing is changed.

    Formats, sizes, views, people, splits, findings, damaged files, copies and near-duplicates.
    Exits with 1 if the folder cannot be indexed as it is.

    Examples:
        xemplar inspect ward --out ward.html

        xemplar inspect ward --fix-columns
    """
    limit_threads(os.environ)  # before the first import of numpy
    from xemplar.archive.artefact import write_file
    from xemplar.data.datasets import identity_domains, source_names
    from xemplar.data.findings import UnknownFindings
    from xemplar.model.checkpoint import default_checkpoint, load

    from .inspection import inspect as run
    from .page import inspection_page

    named = list(
        zip(
            folders,
            source_names(folders, source or ()),
            identity_domains(folders, patients or ()),
            strict=True,
        )
    )
    if fix_columns:
        for folder in folders:
            _fix(folder)
    with bars() as on_progress:
        seen = run(
            named,
            load(default_checkpoint()).card.split,
            table=table,
            columns=columns_of(columns or []),
            unknown_findings=UnknownFindings(unknown_findings),
            most=pictures,
            on_progress=on_progress,
        )
    _print(seen)
    if out is not None:
        write_file(out, inspection_page(seen).encode())
        Console(soft_wrap=True, highlight=False).print(f"written: {plain(out)}")
    _name_next(seen)
    if not all(folder.dataset for folder in seen.folders):
        raise typer.Exit(1)


def _name_next(seen: "Inspection") -> None:
    """Name the command that follows, and what is to be done before."""
    from xemplar.data.datasets.mapping import MAPPING

    from .choices import Choices, DataChoices
    from .requirements import missing_extras

    words = [str(folder.root) for folder in seen.folders]
    unmapped = [str(folder.root) for folder in seen.folders if folder.suggestion]
    if unmapped:
        return name_next("inspect", *unmapped, "--fix-columns")
    unusable = [folder for folder in seen.folders if folder.refusal or folder.faults]
    if unusable:
        table = unusable[0].root / MAPPING if unusable[0].is_mapped else "the table"
        _say(f"Correct {table} as said above; then")
        return name_next("inspect", *words)
    if not all(folder.dataset and folder.dataset.tables for folder in seen.folders):
        return name_next("index", *words, "--store", "archive")
    if extras := missing_extras(Choices(DataChoices(tuple(words), tuple(words), tuple(words)))):
        _say(f"A study needs more packages: pip install 'xemplar[{','.join(extras)}]'; then")
    return name_next("study", *words, "--out", "my-study")


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(plain(text))


def _fix(folder: Path) -> None:
    """Write ``columns.toml`` where the folder's table is not read as it is.

    Raises:
        DatasetError: there is such a file already, or no table names images.
    """
    from xemplar.archive.artefact import write_file
    from xemplar.data.datasets.mapping import MAPPING, mapping_text
    from xemplar.errors import DatasetError

    from .inspection import suggestion_for

    file = folder / MAPPING
    if file.exists():
        raise DatasetError(f"{file} is there already; correct it, or remove it first")
    suggestion = suggestion_for(folder)
    write_file(file, mapping_text(suggestion.mapping, suggestion.similar).encode())
    _say(f"written: {file}; read it, and correct it where it is wrong")


def _print(seen: "Inspection") -> None:
    from .overview import overview

    console = Console(soft_wrap=True, highlight=False)
    for part in overview(seen):
        _print_part(console, part)
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    for path, reason in seen.unreadable[:SHOWN]:
        errors.print(f"[yellow]cannot be read[/] {plain(path)}: {plain(reason)}")
    for one, other in (*seen.copied, *seen.nearly_copied)[:SHOWN]:
        errors.print(f"[yellow]same image[/] {plain(one.path)} = {plain(other.path)}")


def _print_part(console: Console, part: "Part") -> None:
    console.print(f"\n[bold{' red' if part.alarming else ''}]{plain(part.title)}[/]")
    for sentence in (*part.sentences, *part.details):
        console.print(plain(sentence))
    if part.rows:
        table = Table(box=None, pad_edge=False)
        for name in part.columns:
            table.add_column(plain(name), header_style="dim")
        for row in part.rows:
            table.add_row(*map(plain, row))
        console.print(table)
