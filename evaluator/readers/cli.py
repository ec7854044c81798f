"""Commands ``xemplar readers power|plan|open|progress|analyse``."""

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
    name_next,
    new_path,
    plain,
)

if TYPE_CHECKING:
    from xemplar.operations.study_plan import StudyPlan

readers = typer.Typer(
    no_args_is_help=True,
    help="Run a reader study: do similar cases help readers, and do wrong ones mislead them?",
)

ProtocolArgument = Annotated[
    Path, typer.Argument(help="Protocol of the study (TOML).", exists=True, dir_okay=False)
]
StudyArgument = Annotated[str, typer.Argument(help="Study, as `xemplar readers open` printed it.")]


def _needs_extra(error: ModuleNotFoundError) -> typer.BadParameter:
    return typer.BadParameter(f"reader studies need {error.name}: pip install 'xemplar[evaluate]'")


@readers.command()
def power(
    protocol: ProtocolArgument,
    studies: Annotated[int, typer.Option(min=20, help="Simulated studies of each size.")] = 500,
) -> None:
    """Simulate the study, also with more readers and films: how often does it find the difference?

    The protocol's [expected] names the AUC without cases, the difference, and how scores vary.

    Examples:
        xemplar readers power protocol.toml
    """
    try:
        from .power import Design, simulate_studies
        from .protocol import read_protocol
        from .roe_metz import STRUCTURES
    except ModuleNotFoundError as error:
        raise _needs_extra(error) from error
    from xemplar.errors import ConfigurationError

    asked = read_protocol(protocol)
    expected, films = asked.expected, asked.films
    if expected is None or films.table:
        raise ConfigurationError(
            f"{protocol} needs [expected] with auc and difference, and [films] with numbers, to "
            "tell what to simulate"
        )
    titles = ("readers", "films with", "films without", "power", "half width of interval")
    table = Table(*(Column(title, no_wrap=True, overflow="ignore") for title in titles), box=None)
    for readers_times, films_times in ((1, 1), (1, 2), (2, 1), (2, 2)):
        design = Design(
            readers=readers_times * len(asked.readers),
            with_it=films_times * films.with_it,
            without=films_times * films.without,
            auc=expected.auc,
            auc_second=expected.auc + expected.difference,
            variances=STRUCTURES[expected.structure],
        )
        found = simulate_studies(design, studies, asked.seed)
        size = (design.readers, design.with_it, design.without)
        table.add_row(*map(str, size), str(found.significant), f"{found.half_width:.3f}")
    Console(soft_wrap=True).print(table, crop=False)


@readers.command()
def plan(
    protocol: ProtocolArgument,
    out: Annotated[Path, typer.Option(help="New file for the plan (JSON).", callback=new_path)],
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
) -> None:
    """Draw films, find their cases, order each reader's sessions, and lock all that by a digest.

    Examples:
        xemplar readers plan protocol.toml --store archive --out plan.json
    """
    try:
        from .plan import make_plan, read_indexed
        from .protocol import read_protocol
    except ModuleNotFoundError as error:
        raise _needs_extra(error) from error
    from xemplar.archive.artefact import write_file
    from xemplar.archive.store import Store
    from xemplar.model.checkpoint import default_checkpoint, load
    from xemplar.retrieval.snapshot import live_checkpoint

    asked, place = read_protocol(protocol), Store(store, index_url)
    network = load(live_checkpoint(place, checkpoint or default_checkpoint()))
    indexed = read_indexed(place, database, network, asked.finding)
    made = make_plan(asked, indexed, network.digest, protocol.parent)
    write_file(out, made.model_dump_json(indent=1).encode() + b"\n")
    Console(soft_wrap=True, highlight=False).print(
        f"{plain(out)}: study {made.study_id}, {len(made.films)} films, {len(made.sessions)} "
        f"readers, {len(made.arms)} sessions each; digest {made.digest}\n"
        f"next: xemplar readers open {plain(out)} --store {plain(store)}"
    )


@readers.command("open")
def open_study(
    plan_file: Annotated[
        Path, typer.Argument(help="Plan of the study.", exists=True, dir_okay=False)
    ],
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
) -> None:
    """Open a planned study to its readers, in the running service too.

    Examples:
        xemplar readers open plan.json --store archive
    """
    from xemplar.archive.store import Store
    from xemplar.catalog import open_catalog
    from xemplar.operations.reader_studies import ReaderStudies

    locked = _read_plan(plan_file)
    with open_catalog(database or Store(store).database_url) as catalog:
        study = ReaderStudies(catalog.engine).open(locked)
    Console(soft_wrap=True, highlight=False).print(
        f"study {study} is open; its readers read at #/readers/{study} of the page"
    )
    name_next("keys", "create", next(iter(locked.sessions)), "--role", "participant")


@readers.command()
def progress(
    study: StudyArgument, store: StoreOption = DEFAULT_STORE, database: DatabaseOption = ""
) -> None:
    """Print how many readings each reader has given."""
    from xemplar.archive.store import Store
    from xemplar.catalog import open_catalog
    from xemplar.operations.reader_studies import ReaderStudies

    with open_catalog(database or Store(store).database_url) as catalog:
        studies = ReaderStudies(catalog.engine)
        locked, counts = studies.plan(study), studies.counts(study)
    console = Console(soft_wrap=True, highlight=False)
    for reader in locked.sessions:
        all_of_them = len(locked.readings_of(reader))
        console.print(f"{reader}: {counts.get(reader, 0):,} of {all_of_them:,}")


@readers.command()
def analyse(
    study: StudyArgument,
    out: Annotated[Path, typer.Option(help="New folder for the report.", callback=new_path)],
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
) -> None:
    """Analyse a study: AUC by arm for new readers and films, agreement, what wrong cases do.

    Examples:
        xemplar readers analyse 3f0a7f2b8a1c9de5 --store archive --out report
    """
    try:
        from ..report.document import Report, write
        from .study import reader_study
    except ModuleNotFoundError as error:
        raise _needs_extra(error) from error
    from xemplar import __version__
    from xemplar.archive.store import Store
    from xemplar.catalog import open_catalog
    from xemplar.operations.reader_studies import ReaderStudies

    with open_catalog(database or Store(store).database_url) as catalog:
        studies = ReaderStudies(catalog.engine)
        locked, given = studies.plan(study), studies.readings(study)
    section = reader_study(locked, given)
    about = {"software": {"xemplar": __version__}, **section.settings}
    origin = f"Reader study {study}, index {locked.generation}, xemplar {__version__}"
    write(out, Report([section], about, locked.title, origin))
    Console(soft_wrap=True, highlight=False).print(
        f"{plain(out / 'report.html')}: {section.summary}"
    )


def _read_plan(file: Path) -> "StudyPlan":
    import json

    from xemplar.errors import ConfigurationError
    from xemplar.operations.study_plan import StudyPlan

    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        raise ConfigurationError(f"{file} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file} is no plan of `xemplar readers plan`")
    return StudyPlan.from_json(content)
