"""``xemplar train``, whose options are `trainer.settings`; ``average`` and ``recalibrate``."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xemplar.cli.options import options_from
from xemplar.cli.terminal import (
    ColumnsOption,
    PatientsOption,
    TableOption,
    UnknownFindingsOption,
    dataset_of,
    name_next,
    new_path,
)

from .augmentation import Augmentation
from .settings import TrainingSettings

if TYPE_CHECKING:
    from xemplar.data.datasets import Dataset

SPLIT = "Split of patients, where a data set names none"

SourceOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Name of a data set, if not its folder's; once for each, in their order.",
    ),
]
DataArgument = Annotated[
    list[Path],
    typer.Argument(metavar="DATA...", help="Folders of data sets.", exists=True, file_okay=False),
]
NewCheckpointOption = Annotated[
    Path, typer.Option(help="New file for the checkpoint.", callback=new_path)
]


@options_from(TrainingSettings, Augmentation)
def train(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Folders of data sets: CheXpert, NIH ChestX-ray14, or with a labels.csv.",
            exists=True,
            file_okay=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the run; an unfinished one is resumed.", file_okay=False)
    ],
    options: dict[str, Any],
    recipe: Annotated[
        str,
        typer.Option(
            help="Defaults of the options below: poster (shown here), guided, or head (no GPU)."
        ),
    ] = "poster",
    source: SourceOption = None,
    patients: PatientsOption = None,
    table: TableOption = None,
    columns: ColumnsOption = None,
    unknown_findings: UnknownFindingsOption = "refuse",
    split_seed: Annotated[
        int, typer.Option(help="Seed of the split of patients.", rich_help_panel=SPLIT)
    ] = 0,
    val_share: Annotated[
        float, typer.Option(help="Share of the patients to validate on.", rich_help_panel=SPLIT)
    ] = 0.1,
    test_share: Annotated[
        float, typer.Option(help="Share of the patients that is held out.", rich_help_panel=SPLIT)
    ] = 0.1,
) -> None:
    """Train a DenseNet-169 on frontal radiographs, offline, to a checkpoint.

    Killed at any moment, the same command resumes after the last epoch, with the same result.

    The recipe "poster" starts from ImageNet weights; "guided" made the shipped checkpoint, and
    needs none. docs/settings.md lists what each of them sets.

    Examples:
        xemplar train CheXpert-v1.0-small --out runs/first

        xemplar train nih14 kermany --out runs/second --recipe guided --sampling-weight kermany=0.34

        torchrun --nproc-per-node 2 -m xemplar train CheXpert-v1.0-small --out runs/third
    """
    from rich.console import Console

    try:
        from .recipes import recipe as settings_of
        from .run import CHECKPOINT
        from .run import train as run
    except ModuleNotFoundError as error:
        raise _extra_missing(error) from error
    from xemplar.data.splits import PatientSplit

    if "findings" in options:
        options["findings"] = _separated(options["findings"])
    settings = settings_of(recipe, **options, split=PatientSplit(split_seed, val_share, test_share))
    datasets = _datasets(data, source, patients, table, columns, unknown_findings)
    settings = replace(settings, findings=_known(settings.findings, datasets))
    try:
        run(settings, datasets, out, console=Console())
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Stopped. Finished epochs are kept; run the same command to go on."
        )
        raise typer.Exit(130) from None
    name_next("index", *map(str, data), "--checkpoint", str(out / CHECKPOINT))


def _extra_missing(error: ModuleNotFoundError) -> typer.BadParameter:
    """Say which extra has the package that a command lacks."""
    return typer.BadParameter(f"training needs {error.name}: pip install 'xemplar[train]'")


def _separated(given: Iterable[str]) -> tuple[str, ...]:
    """Splits names at commas."""
    return tuple(name for names in given for name in names.split(",") if name.strip())


def _known(findings: Iterable[str], datasets: "list[Dataset]") -> tuple[str, ...]:
    """Spells findings as the vocabulary or a data set does.

    Raises:
        UnknownFinding: neither has one of them.
    """
    from xemplar.data.findings import VOCABULARY, known_finding

    known = VOCABULARY.union(*(dataset.findings for dataset in datasets))
    return tuple(known_finding(name, known) for name in findings)


def _datasets(
    data: list[Path],
    source: list[str] | None,
    patients: list[str] | None,
    table: Path | None,
    columns: list[str] | None,
    unknown_findings: str,
) -> "list[Dataset]":
    """Open the data sets of a command."""
    from xemplar.data.datasets import identity_domains, source_names

    names, domains = source_names(data, source or ()), identity_domains(data, patients or ())
    return [
        dataset_of(folder, table, columns, unknown_findings, name, domain)
        for folder, name, domain in zip(data, names, domains, strict=True)
    ]


def average(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint of a training.", exists=True, dir_okay=False)
    ],
    initial: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint that the training began from (--initial).",
            exists=True,
            dir_okay=False,
        ),
    ],
    data: DataArgument,
    out: NewCheckpointOption,
    share: Annotated[
        float, typer.Option(help="Share of the first checkpoint, between 0 and 1.")
    ] = 0.5,
    source: SourceOption = None,
    patients: PatientsOption = None,
    table: TableOption = None,
    columns: ColumnsOption = None,
    unknown_findings: UnknownFindingsOption = "refuse",
) -> None:
    """Average a checkpoint with the one that its training began from.

    The mean of the weights (WiSE-FT) often keeps what the earlier network knew. Mean activation,
    projection and probabilities are fitted anew on the data sets' training and validation images.
    The new checkpoint has another digest, so a store must be reindexed with it.

    Examples:
        xemplar average runs/b/checkpoint.safetensors a.safetensors nih14 --out c.safetensors
    """
    from rich.console import Console

    from xemplar.cli.terminal import bars

    try:
        from . import averaging, report
    except ModuleNotFoundError as error:
        raise _extra_missing(error) from error
    from xemplar.model.checkpoint import load, save

    datasets = _datasets(data, source, patients, table, columns, unknown_findings)
    with bars() as on_progress:
        card, weights = averaging.average(
            load(checkpoint), load(initial), datasets, share, on_progress
        )
    save(out, card, weights)
    Console().print(report.calibration_table(card))
    name_next("reindex", "--checkpoint", str(out))


def recalibrate(
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint whose weights are kept.", exists=True, dir_okay=False)
    ],
    data: DataArgument,
    out: NewCheckpointOption,
    source: SourceOption = None,
    patients: PatientsOption = None,
    table: TableOption = None,
    columns: ColumnsOption = None,
    unknown_findings: UnknownFindingsOption = "refuse",
) -> None:
    """Fit a checkpoint's probabilities, base rates and threshold anew, on validation images.

    The data set with most known labels in its validation split is the population in which they
    then hold. The new checkpoint has another digest, so a store must be reindexed with it.

    Examples:
        xemplar recalibrate runs/second/checkpoint.safetensors nih14 --out recalibrated.safetensors
    """
    from rich.console import Console

    try:
        from . import recalibration, report
    except ModuleNotFoundError as error:
        raise _extra_missing(error) from error
    from xemplar.model.checkpoint import load, save

    datasets = _datasets(data, source, patients, table, columns, unknown_findings)
    loaded = load(checkpoint)
    card = recalibration.recalibrate(loaded, datasets)
    save(out, card, loaded.weights)
    Console().print(report.calibration_table(card))
    name_next("reindex", "--checkpoint", str(out))
