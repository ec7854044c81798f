"""``xemplar train``: the recipe's settings as options."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xemplar.terminal import ColumnsOption, TableOption, UnknownFindingsOption, dataset_of

if TYPE_CHECKING:
    from xemplar.datasets import Dataset
    from xemplar.findings import UncertainPolicy


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
    recipe: Annotated[
        str,
        typer.Option(help="What the options below are where they are not given: poster, guided."),
    ] = "poster",
    initial: Annotated[
        str | None, typer.Option(help="'imagenet', 'none', or a checkpoint or state dict file.")
    ] = None,
    uncertain: Annotated[
        str | None,
        typer.Option(help="An uncertain label (-1) becomes: positive, negative or ignore."),
    ] = None,
    findings: Annotated[
        str | None, typer.Option(help="Comma-separated outputs of the network, if not NIH's 14.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the input in pixels.")] = None,
    small_size: Annotated[int | None, typer.Option(help="Side in the first epochs.")] = None,
    small_epochs: Annotated[int | None, typer.Option(help="How many; 0 for none.")] = None,
    fit: Annotated[
        str | None, typer.Option(help="stretch, or pad (keeps the aspect ratio).")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many epochs.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better validation AUC.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Films in a step, per process.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of AdamW.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of AdamW.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Of the rate: plateau or cosine.")] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="efficientnet-lite2: its maps guide ours (pip install '.[teach]')."),
    ] = None,
    hint: Annotated[
        float | None, typer.Option(help="Weight of the teacher beside the labels.")
    ] = None,
    boxes: Annotated[
        float | None,
        typer.Option(help="Weight of evidence outside radiologists' boxes, as 0.3; 0: none."),
    ] = None,
    lead: Annotated[
        int | None,
        typer.Option(help="First epochs led by the teacher, which then fades; boxes come after."),
    ] = None,
    crossfit: Annotated[
        int | None,
        typer.Option(help="Networks fine-tuned from the teacher for soft labels, as 5; 0: none."),
    ] = None,
    crossfit_epochs: Annotated[int | None, typer.Option(help="Epochs of each of them.")] = None,
    soft: Annotated[
        float | None, typer.Option(help="Share of soft labels in the targets, as 0.6; 0: none.")
    ] = None,
    mixup: Annotated[
        float | None,
        typer.Option(help="Lay films over each other, by Beta(this, this), as 0.4; 0: never."),
    ] = None,
    metric: Annotated[
        float | None,
        typer.Option(help="Weight of embeddings unlike where findings are like, as 0.3; 0: none."),
    ] = None,
    projection: Annotated[
        int | None,
        typer.Option(help="Numbers of an embedding, learnt at the end, as 256; 0: all channels."),
    ] = None,
    average: Annotated[
        float | None,
        typer.Option(help="Decay of a moving average of the weights, as 0.998; 0: none."),
    ] = None,
    hide: Annotated[
        float | None, typer.Option(help="Chance that corners and margins of a film are covered.")
    ] = None,
    films_per_epoch: Annotated[
        int | None,
        typer.Option(help="Draw so many films an epoch, equally from the sets; 0 for all."),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(metavar="SET=WEIGHT", help="Draw more or less of a set, as kermany=0.3."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode and augment.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="Processor threads; 0 for PyTorch's choice.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of everything random, but the split of patients.")
    ] = None,
    split_seed: Annotated[
        int, typer.Option(help="Of the split of patients where a data set names none.")
    ] = 0,
    val_share: Annotated[
        float, typer.Option(help="Share of the patients to validate on, where it names none.")
    ] = 0.1,
    test_share: Annotated[
        float, typer.Option(help="Share of the patients that is held out, where it names none.")
    ] = 0.1,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What a data set is called, if not as its folder; once for each, in their order.",
        ),
    ] = None,
    table: TableOption = None,
    columns: ColumnsOption = None,
    unknown_findings: UnknownFindingsOption = "refuse",
) -> None:
    """Train a DenseNet-169 on frontal films, offline, to a checkpoint.

    Killed at any moment, the same command goes on from the last epoch, with the same result.

    The recipe "poster" starts from ImageNet weights; "guided" made the shipped checkpoint, and
    needs none. docs/settings.md lists what each of them sets.

    Examples:
        xemplar train CheXpert-v1.0-small --out runs/first

        xemplar train nih14 kermany --out runs/second --recipe guided --weight kermany=0.34

        torchrun --nproc-per-node 2 -m xemplar train CheXpert-v1.0-small --out runs/third
    """
    from rich.console import Console

    try:
        from .recipes import recipe as settings_of
        from .run import train as run
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"training needs {error.name}: pip install 'xemplar[train]'"
        ) from error
    from xemplar.datasets import source_names
    from xemplar.splits import PatientSplit

    settings = settings_of(
        recipe,
        findings=tuple(f for f in findings.split(",") if f.strip()) if findings else None,
        uncertain=_policy(uncertain),
        size=size,
        small_size=small_size,
        small_epochs=small_epochs,
        fit=fit,
        initial=initial,
        epochs=epochs,
        patience=patience,
        batch=batch,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        schedule=schedule,
        teacher=teacher,
        hint=hint,
        boxes=boxes,
        lead=lead,
        crossfit=crossfit,
        crossfit_epochs=crossfit_epochs,
        soft=soft,
        mixup=mixup,
        metric=metric,
        projection=projection,
        average=average,
        hide=hide,
        films_per_epoch=films_per_epoch,
        weights=_weights(weight),
        precision=precision,
        device=device,
        workers=workers,
        threads=threads,
        seed=seed,
        split=PatientSplit(split_seed, val_share, test_share),
    )
    names = source_names(data, source or ())
    datasets = [
        dataset_of(folder, table, columns, unknown_findings, name)
        for folder, name in zip(data, names, strict=True)
    ]
    settings = replace(settings, findings=_known(settings.findings, datasets))
    try:
        run(settings, datasets, out, console=Console())
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Stopped. Finished epochs are kept; run the same command to go on."
        )
        raise typer.Exit(130) from None


def _known(findings: Iterable[str], datasets: "list[Dataset]") -> tuple[str, ...]:
    """Findings of a vocabulary or of a data set, as it spells them; raises `UnknownFinding`."""
    from xemplar.findings import VOCABULARY, known_finding

    known = VOCABULARY.union(*(dataset.findings for dataset in datasets))
    return tuple(known_finding(name, known) for name in findings)


def _policy(given: str | None) -> "UncertainPolicy | None":
    from xemplar.errors import ConfigurationError
    from xemplar.findings import UncertainPolicy

    try:
        return None if given is None else UncertainPolicy(given)
    except ValueError as error:
        raise ConfigurationError(
            f"--uncertain {given!r} is none of positive, negative, ignore"
        ) from error


def _weights(given: list[str] | None) -> dict[str, float] | None:
    if not given:
        return None
    weights = {}
    for one in given:
        name, _, weight = one.partition("=")
        try:
            weights[name] = float(weight)
        except ValueError as error:
            raise typer.BadParameter(
                f"--weight {one!r} is not SET=WEIGHT, as kermany=0.3"
            ) from error
    return weights
