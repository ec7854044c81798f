"""``xemplar train``: the recipe's settings as options."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Folders of data sets: CheXpert, NIH ChestX-ray14, or with a labels.csv.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished one is resumed.")],
    initial: Annotated[
        str, typer.Option(help="'imagenet', 'none', or a checkpoint or state dict file.")
    ] = "imagenet",
    uncertain: Annotated[
        str, typer.Option(help="An uncertain label (-1) becomes: positive, negative or ignore.")
    ] = "positive",
    findings: Annotated[
        str, typer.Option(help="Comma-separated outputs of the network; empty for NIH's 14.")
    ] = "",
    size: Annotated[int, typer.Option(help="Side of the input in pixels.")] = 224,
    small_size: Annotated[int, typer.Option(help="Side in the first epochs.")] = 128,
    small_epochs: Annotated[int, typer.Option(help="How many of them; 0 for none.")] = 0,
    fit: Annotated[str, typer.Option(help="stretch, or pad (keeps the aspect ratio).")] = "stretch",
    epochs: Annotated[int, typer.Option(help="At most so many epochs.")] = 25,
    patience: Annotated[
        int, typer.Option(help="Stop after so many epochs without a better validation AUC.")
    ] = 10,
    batch: Annotated[int, typer.Option(help="Films in a step, per process.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW.")] = 1e-4,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 1e-4,
    schedule: Annotated[str, typer.Option(help="Of the rate: plateau or cosine.")] = "plateau",
    teacher: Annotated[
        str,
        typer.Option(help="efficientnet-lite2: its maps guide ours (pip install '.[teach]')."),
    ] = "",
    hint: Annotated[float, typer.Option(help="Weight of the teacher beside the labels.")] = 1.0,
    average: Annotated[
        float, typer.Option(help="Decay of a moving average of the weights, as 0.998; 0: none.")
    ] = 0.0,
    hide: Annotated[
        float, typer.Option(help="Chance that corners and margins of a film are covered.")
    ] = 0.0,
    films_per_epoch: Annotated[
        int, typer.Option(help="Draw so many films an epoch, equally from the sets; 0 for all.")
    ] = 0,
    weight: Annotated[
        list[str] | None,
        typer.Option(metavar="SET=WEIGHT", help="Draw more or less of a set, as kermany=0.3."),
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, typer.Option(help="Processes that decode and augment.")] = 1,
    threads: Annotated[int, typer.Option(help="Processor threads; 0 for PyTorch's choice.")] = 0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Train a DenseNet-169 on frontal films, offline, to a checkpoint.

    Killed at any moment, the same command goes on from the last epoch, with the same result.

    Examples:
        xemplar train CheXpert-v1.0-small --out runs/first

        xemplar train nih14 kermany --out runs/second --initial none --learning-rate 5e-4

        xemplar train nih14 --out runs/guided --initial none --teacher efficientnet-lite2 \
            --schedule cosine --average 0.998 --hide 0.6 --learning-rate 1e-3

        torchrun --nproc-per-node 2 -m xemplar train CheXpert-v1.0-small --out runs/third
    """
    from rich.console import Console

    try:
        from trainer.run import train as run
        from trainer.settings import Augmentation, Settings
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"training needs {error.name}: pip install 'xemplar[train]'"
        ) from error
    from xemplar.datasets import open_dataset
    from xemplar.errors import ConfigurationError
    from xemplar.findings import NIH14, UncertainPolicy

    try:
        policy = UncertainPolicy(uncertain)
    except ValueError as error:
        raise ConfigurationError(
            f"--uncertain {uncertain!r} is none of positive, negative, ignore"
        ) from error
    settings = Settings(
        findings=tuple(f for f in findings.split(",") if f.strip()) or NIH14,
        uncertain=policy,
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
        average=average,
        augmentation=Augmentation(hide=hide),
        films_per_epoch=films_per_epoch,
        weights=_weights(weight or []),
        precision=precision,
        device=device,
        workers=workers,
        threads=threads,
        seed=seed,
    )
    run(settings, [open_dataset(folder) for folder in data], out, console=Console())


def _weights(given: list[str]) -> dict[str, float]:
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
