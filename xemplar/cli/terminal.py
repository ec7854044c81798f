"""Options, checks and the progress bar shared by the programs' command lines."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xemplar.archive.permissions import close_to_others
from xemplar.names import escape_unprintable

if TYPE_CHECKING:
    from xemplar.data.datasets import Dataset

REASONS = 8
"""Number of most frequent reasons in a summary."""

DEFAULT_STORE = Path("xemplar-store")

STORE_MARKS = ("catalog.sqlite", "pseudonym.key", "generations/CURRENT", ".restoring")
"""Files found only in a store; other folders may contain "media" or "checkpoints" too."""

STORE_PARTS = re.compile(r"catalog\.sqlite.*|generations|media|checkpoints|pseudonym\.key")
"""Visible entries of a store; databases have files beside them."""


def plain(text: object) -> str:
    """Escape a text so that the terminal displays it literally.

    Escapes rich's markup and control characters, for names from other people: data sets, files,
    findings, keys.
    """
    return escape(escape_unprintable(str(text)))


def store_folder(path: Path) -> Path:
    """Check a store's folder (a typer callback): it must be a store or a new or empty folder.

    Removes read access for other users, or prints a note if that is not permitted.

    Raises:
        BadParameter: it contains other files.
    """
    _nearest_folder(path)
    inside = [one.name for one in path.iterdir()] if path.is_dir() else []
    others = [name for name in inside if not name.startswith(".") and name != "lost+found"]
    a_store = any((path / mark).exists() for mark in STORE_MARKS)
    if not a_store and not all(STORE_PARTS.fullmatch(name) for name in others):
        raise typer.BadParameter(
            f"{path} is not a store and not empty; name a store or a new folder"
        )
    if opened := close_to_others(path) if path.is_dir() else []:
        more = f" and {len(opened) - 1:,} more" if opened[1:] else ""
        Console(stderr=True, soft_wrap=True, highlight=False).print(
            f"[yellow]note[/] other users can read {plain(opened[0])}{more}, and this user cannot "
            f"change that; as its owner, run `chmod -R go= {plain(path)}`"
        )
    return path


def new_path(path: Path | None) -> Path | None:
    """Check an output path (a typer callback): it must not exist yet.

    Raises:
        BadParameter: it exists, or cannot be created.
    """
    if path is None or str(path) == "-":
        return path
    if path.exists():
        raise typer.BadParameter(f"{path} exists already; choose another name or remove it")
    there = _nearest_folder(path)
    if not os.access(there, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"{path} cannot be made: this user may not write into {there}")
    return path


def _nearest_folder(path: Path) -> Path:
    """Return the nearest existing folder of a path and its parents; refuse a file."""
    there = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not there.is_dir():
        raise typer.BadParameter(f"{path} cannot be made: {there} is a file")
    return there


StoreOption = Annotated[
    Path,
    typer.Option(
        "--store",
        envvar="XEMPLAR_STORE",
        help="Folder with index, catalog and pictures.",
        file_okay=False,
        callback=store_folder,
    ),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        envvar="XEMPLAR_CHECKPOINT",
        help="Network; default: the shipped one.",
        exists=True,
        dir_okay=False,
    ),
]
DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="XEMPLAR_DATABASE_URL",
        help="Catalog, as postgresql+psycopg://USER@HOST/NAME; default: SQLite in the store.",
    ),
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(help="Arithmetic; auto uses bfloat16 if the processor supports it."),
]
ThreadsOption = Annotated[int, typer.Option(min=0, help="Threads of the network; 0: one per core.")]
AnyBodyPartOption = Annotated[
    bool,
    typer.Option(
        "--any-body-part",
        help="Include images that show another body part according to their DICOM header.",
    ),
]
BurnedInTextOption = Annotated[
    bool,
    typer.Option(
        "--burned-in-text",
        help="Include images with burned-in text according to their DICOM header. Check them "
        "first: the text may name the patient.",
    ),
]
ReportsOption = Annotated[
    bool,
    typer.Option(
        "--reports",
        help="Store the findings and impression of reports, scrubbed of all but words of English "
        "chest reports: from the columns report, findings_text and impression, from text files "
        "named like their images, or from XML of Open-i.",
    ),
]
MineOption = Annotated[
    bool,
    typer.Option(
        "--labels-from-reports",
        help="Read the labels of images that have none from their reports, marked as mined; with "
        "--reports.",
    ),
]
PublishOption = Annotated[
    bool, typer.Option("--publish/--no-publish", help="Make the new generation live.")
]
FactoryOption = Annotated[
    str,
    typer.Option(
        "--factory",
        help="FAISS factory string of the index: auto (by the number of cases), Flat (exact), "
        "or inverted lists as PCA128,IVF2048,SQ8 (in Milvus IVF2048,Flat); default: as the live "
        "one was made.",
    ),
]
IndexUrlOption = Annotated[
    str,
    typer.Option(
        "--index-url",
        envvar="XEMPLAR_INDEX_URL",
        help="Milvus server that holds the index, as milvus://HOST:19530; default: the store.",
    ),
]
ViewerUrlOption = Annotated[
    str,
    typer.Option(
        "--viewer-url",
        envvar="XEMPLAR_VIEWER_URL",
        help="Address of a study in your viewer, with {study} for its UID: each case of a DICOM "
        "image keeps a sealed reference to its study. Default: none is kept.",
    ),
]
StudyDaysOption = Annotated[
    bool,
    typer.Option(
        "--study-days/--no-study-days",
        envvar="XEMPLAR_STUDY_DAYS",
        help="Keep how many days lie between a patient's DICOM studies, for timelines; never a "
        "date. Default: nothing of their dates is read.",
    ),
]
TableOption = Annotated[
    Path | None,
    typer.Option(
        "--table", help="Label file (CSV, TSV, XLSX) to read; default: what the folder holds."
    ),
]
ColumnsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="NAME=COLUMN,...",
        help="Columns of the label file for file, findings, patient_id, view, sex, age, split, "
        'such as file="Image Index",findings="Finding Labels". file is required.',
    ),
]
UnknownFindingsOption = Annotated[
    Literal["refuse", "keep", "drop"],
    typer.Option(
        "--unknown-findings",
        help="Findings outside all vocabularies: refuse the label file, keep them as findings of "
        "their own, or drop them.",
    ),
]


PatientsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--patients",
        metavar="NAME",
        help="Identity domain of a data set's patient ids: data sets of one domain show the same "
        "patients under the same ids. Once per data set, in their order; default: its own name.",
    ),
]


def dataset_of(
    folder: Path,
    table: Path | None,
    columns: list[str] | None,
    unknown_findings: str,
    name: str | None = None,
    patients: str | None = None,
    *,
    reports: bool = False,
) -> "Dataset":
    """Open a data set with the given options and print its notes on stderr.

    Raises:
        DatasetError: see `xemplar.data.datasets.open_dataset`.
        typer.BadParameter: ``--columns`` is invalid.
    """
    from xemplar.data.datasets import open_dataset
    from xemplar.data.findings import UnknownFindings

    dataset = open_dataset(
        folder,
        name,
        table=table,
        columns=columns_of(columns or []),
        unknown_findings=UnknownFindings(unknown_findings),
        patients=patients,
        reports=reports,
    )
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for note in dataset.notes:
        console.print(f"[yellow]note[/] {plain(dataset.name)}: {plain(note)}")
    return dataset


def columns_of(given: list[str]) -> dict[str, str]:
    """Parse ``--columns`` into a mapping; names of columns may contain commas.

    Raises:
        typer.BadParameter: it is not NAME=COLUMN, or NAME is unknown or repeated.
    """
    from xemplar.data.datasets import COLUMNS
    from xemplar.names import nearest

    pairs = [pair for one in given for pair in re.split(r",(?=\s*\w+\s*=)", one)]
    columns: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = (part.strip() for part in pair.partition("="))
        column = column.strip("\"'")
        if not equals or not column:
            raise typer.BadParameter(
                f'--columns {pair!r} is not NAME=COLUMN, as file="Image Index"'
            )
        if name not in COLUMNS:
            near = nearest(name, COLUMNS, 1)
            raise typer.BadParameter(
                f"--columns names {name!r}{f', perhaps {near[0]}' if near else ''}; it may name "
                f"{', '.join(COLUMNS)}"
            )
        if name in columns:
            raise typer.BadParameter(f"--columns names {name!r} twice")
        other = next((one for one, called in columns.items() if called == column), None)
        if other is not None:
            raise typer.BadParameter(f"--columns takes {column!r} for both {other} and {name}")
        columns[name] = column
    if columns and "file" not in columns:
        raise typer.BadParameter("--columns does not name the column of the image file: file=...")
    return columns


def counted(label: str, reasons: "Counter[str]") -> str:
    """Format a total and the most frequent reasons."""
    details = "; ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common(REASONS))
    return f"{reasons.total():,} {label}{f' ({details})' if details else ''}"


@contextmanager
def shown(bar: Progress) -> Iterator[Callable[[], None]]:
    """Yield the function that shows a bar, so that an early failure shows none."""
    try:
        yield bar.start
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield the function that advances a progress bar with speed and time left, on stderr.

    Args:
        description: what is counted.
        total: number of them; None if it is unknown.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    with shown(bar) as show:
        task = bar.add_task(description, total=total, speed="")

        def moved(done: int) -> None:
            show()
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, speed=f"{speed:.0f}/s" if speed else "")

        yield moved


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield the function that advances the progress bar of a stage, on stderr.

    It takes the stage, what is done of it, and the total.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    with shown(bar) as show:
        tasks: dict[str, TaskID] = {}

        def moved(stage: str, done: int, total: int) -> None:
            show()
            if stage not in tasks:
                tasks[stage] = bar.add_task(plain(stage), total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield moved


def name_next(*words: str) -> None:
    """Name the command that usually follows, on stderr."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"[dim]next:[/] xemplar {plain(shlex.join(words))}"
    )
