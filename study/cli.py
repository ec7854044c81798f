"""``xemplar study``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from xemplar.cli.environment import limit_threads
from xemplar.cli.terminal import PatientsOption, UnknownFindingsOption, bars, name_next, plain

from .choices import (
    Choices,
    DataChoices,
    Evaluated,
    EvaluationChoices,
    IndexChoices,
    TrainChoices,
    choices_text,
    differences,
    read_choices,
)
from .cli_inspect import PicturesOption, SourcesOption

if TYPE_CHECKING:
    from .inspection import Inspection
    from .steps import Place


def study(
    out: Annotated[
        Path,
        typer.Option(help="Folder of the study; an unfinished one goes on.", file_okay=False),
    ],
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Data sets; none to go on.", exists=True, file_okay=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="study.toml of another study, or written by hand: every choice.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train a network; default: the shipped one.")
    ] = False,
    recipe: Annotated[str, typer.Option(help="Recipe of the training.")] = "poster",
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Network, if not the shipped one; with --train, the weights that it begins with.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    source: SourcesOption = None,
    patients: PatientsOption = None,
    unknown_findings: UnknownFindingsOption = "refuse",
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Split whose images are the queries; repeatable; test."),
    ] = None,
    evaluate: Annotated[Evaluated, typer.Option(help="What `xemplar evaluate` measures.")] = "all",
    leaks: Annotated[
        Literal["refuse", "drop"],
        typer.Option(help="What becomes of queries that the network was trained on."),
    ] = "refuse",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Images to index at most, for a trial.")
    ] = None,
    pictures: PicturesOption = 2000,
) -> None:
    """Inspect data, train if asked for, index, evaluate, and write a report.

    What cannot succeed is refused before anything long begins. Killed and started again, it goes
    on. study.toml in its folder holds every choice; further options of train, index and evaluate
    can be added there before the first run (--config).

    Examples:
        xemplar study ward --out my-study

        xemplar study nih14 nih14-more --patients nih --patients nih --out my-study

        xemplar study --config my-study/study.toml --out again
    """
    limit_threads(os.environ)  # before the first import of numpy
    from xemplar.archive.artefact import write_file

    from .steps import Place

    place = Place(out.absolute())
    if folders:
        from xemplar.data.datasets import identity_domains, source_names

        sources = source_names(folders, source or ())
        domains = identity_domains(folders, patients or ())
        asked = Choices(
            DataChoices(
                tuple(str(folder.absolute()) for folder in folders),
                tuple(sources),
                tuple(domain or name for domain, name in zip(domains, sources, strict=True)),
                unknown_findings,
                pictures,
            ),
            train=TrainChoices(train, recipe),
            index=IndexChoices(
                str(checkpoint.absolute()) if checkpoint else "",
                options=("--limit", str(limit)) if limit else (),
            ),
            evaluate=EvaluationChoices(evaluate, tuple(split or ("test",)), leaks=leaks),
        )
    else:
        asked = _kept(config, place)
    _check_same(asked, place)
    seen = _begun(asked, place)
    if not place.choices.is_file():
        write_file(place.choices, choices_text(asked).encode())
    _run(asked, seen, place)
    name_next("serve", "--store", str(place.store))


def _kept(config: Path | None, place: "Place") -> Choices:
    """Read the choices of a file, or of the study in the folder.

    Raises:
        typer.BadParameter: there is neither.
    """
    file = config or place.choices
    if not file.is_file():
        raise typer.BadParameter(f"{place.root} holds no study to go on with; name data sets")
    return read_choices(file)


def _check_same(asked: Choices, place: "Place") -> None:
    """Refuse other choices than the folder's study has.

    Raises:
        ConfigurationError: naming them.
    """
    from xemplar.errors import ConfigurationError

    if place.choices.is_file():
        others = differences(asked, read_choices(place.choices))
        if others:
            raise ConfigurationError(
                f"{place.root} holds a study with other choices ({', '.join(others)}); take a new "
                f"folder, or go on with `xemplar study --out {place.root}`"
            )


def _begun(chosen: Choices, place: "Place") -> "Inspection":
    """Inspect the data and refuse what cannot succeed; nothing long has begun then.

    Raises:
        ConfigurationError: packages are missing.
        DatasetError: with all reasons.
    """
    from xemplar.archive.artefact import write_file
    from xemplar.data.findings import NIH14, UnknownFindings
    from xemplar.data.splits import PatientSplit
    from xemplar.errors import ConfigurationError, DatasetError
    from xemplar.model.checkpoint import default_checkpoint, load

    from .inspection import inspect
    from .page import inspection_page
    from .requirements import cautions, missing_extras, refusals

    if extras := missing_extras(chosen):
        raise ConfigurationError(
            f"a study like this needs more packages: pip install 'xemplar[{','.join(extras)}]'"
        )
    data, split = chosen.data, chosen.split
    path = Path(chosen.index.checkpoint) if chosen.index.checkpoint else default_checkpoint()
    card = load(path).card
    rule = PatientSplit(split.seed, split.val, split.test) if chosen.train.run else card.split
    named = zip(map(Path, data.folders), data.sources, data.patients, strict=True)
    with bars() as on_progress:
        seen = inspect(
            list(named),
            rule,
            unknown_findings=UnknownFindings(data.unknown_findings),
            most=data.pictures,
            on_progress=on_progress,
        )
    reasons = refusals(chosen, seen, NIH14 if chosen.train.run else card.findings)
    if reasons:
        raise DatasetError(f"this study cannot succeed: {'; '.join(reasons)}")
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for caution in cautions(chosen, seen):
        console.print(f"[yellow]note[/] {plain(caution)}")
    write_file(place.root / "inspection.html", inspection_page(seen).encode())
    return seen


def _run(chosen: Choices, seen: "Inspection", place: "Place") -> None:
    from xemplar.model.checkpoint import default_checkpoint, load

    from .report import Study, evaluations_of, write_report
    from .requirements import cautions, evaluated_folders
    from .steps import digest_of_study, read_record, run_steps, steps_of

    named = Path(chosen.index.checkpoint) if chosen.index.checkpoint else default_checkpoint()
    record = read_record(place, digest_of_study(chosen, seen, load(named).digest))
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    steps = steps_of(chosen, seen, place)
    try:
        run_steps(steps, place, record, lambda line: console.print(f"[bold]{plain(line)}[/]"))
    except KeyboardInterrupt:
        console.print(f"Stopped. `xemplar study --out {plain(place.root)}` goes on.")
        raise typer.Exit(130) from None
    names = [name for _, name, _ in evaluated_folders(chosen, seen)]
    used = load(place.trained if chosen.train.run else named)
    evaluations = evaluations_of(place, names)
    write_report(Study(chosen, seen, used, record, evaluations, cautions(chosen, seen)), place)
    Console(soft_wrap=True, highlight=False).print(f"{plain(place.root / 'report.html')}")
