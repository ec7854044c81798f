"""``xemplar evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from xemplar.cli.options import options_from
from xemplar.cli.terminal import (
    DEFAULT_STORE,
    CheckpointOption,
    ColumnsOption,
    DatabaseOption,
    IndexUrlOption,
    PatientsOption,
    StoreOption,
    TableOption,
    UnknownFindingsOption,
    bars,
    dataset_of,
    name_next,
    new_path,
    plain,
)

from .settings import EvaluationSettings

if TYPE_CHECKING:
    from .run import EvaluationResult

SIMILARITY = "similarity.json"
"""File of a report that `xemplar generations calibrate` reads."""


@options_from(EvaluationSettings)
def evaluate(
    study: Annotated[
        Literal[
            "ranking",
            "localisation",
            "faithfulness",
            "classification",
            "probability",
            "shortcuts",
            "all",
        ],
        typer.Argument(help="Study to run; all: every one that the data set allows."),
    ],
    data: Annotated[
        Path,
        typer.Argument(help="Data set whose images are queried.", exists=True, file_okay=False),
    ],
    out: Annotated[Path, typer.Option(help="New folder for the report.", callback=new_path)],
    options: dict[str, Any],
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name that it was indexed as, if not its folder's."),
    ] = None,
    patients: PatientsOption = None,
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="Radiologists' boxes (NIH, RSNA, VinBigData, or boxes.csv).",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    experts: Annotated[
        Path | None,
        typer.Option(
            help="Experts' ratings: query_id,case_id,rater,rating.", exists=True, dir_okay=False
        ),
    ] = None,
    table: TableOption = None,
    columns: ColumnsOption = None,
    unknown_findings: UnknownFindingsOption = "refuse",
) -> None:
    """Measure how good both explanations are, with chance beside every figure.

    Images of DATA are queried against the indexed cases of the same data set, never their own
    patient's, by the network that made the index. Killed and started again with the same arguments,
    it resumes. Exits with 1 where the maps do not depend on the network, or probabilities are worse
    than without calibration.

    Examples:
        xemplar index nih14 --split train --store archive

        xemplar evaluate all nih14 --store archive --out report

        xemplar evaluate ranking nih14 --store archive --experts ratings.csv --out experts
    """
    try:
        from .run import Study
        from .run import evaluate as run
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"evaluating needs {error.name}: pip install 'xemplar[evaluate]'"
        ) from error
    from xemplar.archive.store import Store
    from xemplar.data.datasets import identity_domains, source_names
    from xemplar.model.checkpoint import default_checkpoint, load
    from xemplar.model.encoder import open_encoder
    from xemplar.retrieval.snapshot import live_checkpoint

    from .loading import EvaluationSource

    settings = EvaluationSettings(**options)
    (name,) = source_names([data], [source] if source is not None else [])
    (domain,) = identity_domains([data], patients or ())
    dataset = dataset_of(data, table, columns, unknown_findings, name, domain)
    evaluated = EvaluationSource(dataset, Store(store, index_url), database, boxes)
    path = checkpoint or live_checkpoint(evaluated.store, default_checkpoint())
    encoder = open_encoder(load(path))
    try:
        with bars() as on_progress:
            outcome = run(
                Study(study),
                evaluated,
                encoder,
                out,
                settings,
                experts=experts,
                on_progress=on_progress,
            )
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Stopped. What is finished is kept; run the same command to go on."
        )
        raise typer.Exit(130) from None
    _print_outcome(outcome, out)
    if (out / SIMILARITY).is_file():
        name_next("generations", "calibrate", str(out / SIMILARITY), "--store", str(store))
    else:
        name_next("serve", "--store", str(store))
    if outcome.report.failures:
        raise typer.Exit(1)


def _print_outcome(outcome: "EvaluationResult", out: Path) -> None:
    stderr = Console(stderr=True, soft_wrap=True, highlight=False)
    for path, reason in outcome.unreadable:
        stderr.print(f"[yellow]left out[/] {plain(path)}: {plain(reason)}")
    for failure in outcome.report.failures:
        stderr.print(f"[bold red]not to be released[/] {plain(failure)}")
    about = outcome.report.about
    Console(soft_wrap=True, highlight=False).print(
        f"{plain(out / 'report.html')}: {about['seconds']['all']:.0f} s, "
        f"{about['peak_memory_mb']:,} MB at most"
    )
