"""Commands ``xemplar index`` and ``xemplar phantoms``.

Slow imports happen when a command runs, so that ``xemplar --help`` is fast.
"""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from xemplar.cli.environment import limit_threads
from xemplar.cli.terminal import (
    DEFAULT_STORE,
    AnyBodyPartOption,
    BurnedInTextOption,
    CheckpointOption,
    ColumnsOption,
    DatabaseOption,
    FactoryOption,
    IndexUrlOption,
    MineOption,
    PatientsOption,
    PrecisionOption,
    PublishOption,
    ReportsOption,
    StoreOption,
    StudyDaysOption,
    TableOption,
    ThreadsOption,
    UnknownFindingsOption,
    ViewerUrlOption,
    counted,
    dataset_of,
    name_next,
    new_path,
    plain,
    progress,
)

if TYPE_CHECKING:
    from xemplar.archive.store import Store
    from xemplar.catalog import Catalog
    from xemplar.data.datasets import Dataset, DatasetImage
    from xemplar.data.splits import PatientSplit
    from xemplar.indexing.publishing import PublishedGeneration
    from xemplar.indexing.reader import SkippedImage
    from xemplar.indexing.reports import ReportReader
    from xemplar.indexing.result import IndexingResult
    from xemplar.model.checkpoint import Checkpoint
    from xemplar.retrieval.references import StudyReferences

DECODE_SECONDS = 60
"""Decoding timeout per image, so that no single file blocks a whole archive."""


def index(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Data sets, or plain folders of images.", exists=True, file_okay=False),
    ],
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name of a data set instead of its folder's; once per data set, in their order.",
        ),
    ] = None,
    patients: PatientsOption = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Only images of this split (train, val, test); repeatable."),
    ] = None,
    table: TableOption = None,
    columns: ColumnsOption = None,
    unknown_findings: UnknownFindingsOption = "refuse",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of images, for a first trial.")
    ] = None,
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
    workers: Annotated[
        int, typer.Option(min=0, help="Threads for reading and decoding; 0: one per core, up to 8.")
    ] = 0,
    any_body_part: AnyBodyPartOption = False,
    burned_in_text: BurnedInTextOption = False,
    viewer_url: ViewerUrlOption = "",
    study_days: StudyDaysOption = False,
    reports: ReportsOption = False,
    labels_from_reports: MineOption = False,
    factory: FactoryOption = "",
    publish: PublishOption = True,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Read and embed on the Ray cluster at HOST:PORT; auto: the one of this machine; "
            "local: start one on this machine. All machines see store and images under the same "
            "paths. Needs `pip install 'xemplar[ray]'`.",
        ),
    ] = None,
) -> None:
    """Embed the images of one or more data sets and publish an index of all cases in the store.

    The command can be interrupted and restarted: nothing is embedded twice.

    Patients are identified by the name of their data set and their id in it; data sets with the
    same patients share an identity domain (--patients). Data sets in folders of the same name need
    distinct names (--source).

    Examples:
        xemplar index nih14 --split train --store archive

        xemplar index north/images south/images --source north --source south --store archive

        xemplar index nih14 nih14-more --patients nih --patients nih --store archive
    """
    limit_threads(os.environ)  # before the first import of numpy
    from xemplar.archive.store import Store
    from xemplar.catalog import migrate, open_catalog
    from xemplar.catalog.patients import check_domain
    from xemplar.data.datasets import identity_domains, source_names
    from xemplar.index import known_factory
    from xemplar.indexing.publishing import build_generation, fit_validator
    from xemplar.indexing.reports import ReportReader
    from xemplar.model.checkpoint import default_checkpoint, keep, load
    from xemplar.model.encoder import Precision
    from xemplar.retrieval.references import study_references

    from .sources import check_source

    if labels_from_reports and not reports:
        raise typer.BadParameter("needs --reports", param_hint="--labels-from-reports")
    loaded = load(checkpoint or default_checkpoint())
    names = source_names(folders, source or [])
    datasets = [
        dataset_of(folder, table, columns, unknown_findings, name, domain, reports=reports)
        for folder, name, domain in zip(
            folders, names, identity_domains(folders, patients or ()), strict=True
        )
    ]
    images = _images(datasets, split or [], limit, loaded.card.split)
    if not reports:
        _note_reports(images)
    place = Store(store, index_url)
    references = study_references(place, viewer_url, days=study_days)
    if factory:
        known_factory(place, factory)  # refuses an unknown one before the long work
    keep(checkpoint or default_checkpoint(), place)
    url = database or place.database_url
    migrate(url, place)
    with open_catalog(url) as catalog:
        if not source:
            for dataset in datasets:
                check_source(dataset, catalog)
        if not patients:
            for dataset in datasets:
                check_domain(dataset, place, catalog.named_patients(dataset.name))
        try:
            outcome = _embed(
                images,
                place,
                catalog,
                loaded,
                precision,
                threads,
                workers,
                ray,
                references,
                ReportReader(mine=labels_from_reports) if reports else None,
                any_body_part=any_body_part,
                burned_in_text=burned_in_text,
            )
        except KeyboardInterrupt:
            Console(stderr=True).print(
                "Stopped. Finished batches are kept; run the same command to continue."
            )
            raise typer.Exit(130) from None
        _report_unreadable((*outcome.unreadable, *outcome.reports_left_out))
        if outcome.embedded + outcome.reused + outcome.copies == 0:
            Console(stderr=True).print(
                f"[bold red]error[/] none of {len(images)} images was usable"
            )
            raise typer.Exit(1)
        published = build_generation(
            place,
            catalog,
            loaded,
            changed=outcome.embedded > 0,
            go_live=publish,
            factory=factory,
        )
        if publish:
            with Console(stderr=True).status("fitting the input validator"):
                fit_validator(place, catalog, loaded, Precision(precision), threads)
    _report(outcome, published, place, publish, datasets)
    if publish:
        name_next("serve", "--store", str(store))
    else:
        name_next("generations", "activate", published.name, "--store", str(store))


def phantoms(
    folder: Annotated[Path, typer.Argument(help="New folder to write to.", callback=new_path)],
    count: Annotated[int, typer.Option(min=1, help="Images.")] = 200,
    seed: Annotated[int, typer.Option(help="Another seed gives other images.")] = 0,
    size: Annotated[int, typer.Option(min=64, help="Side of an image in pixels.")] = 320,
    dicom: Annotated[
        bool, typer.Option("--dicom", help="Write each as a DICOM object (DX) as well.")
    ] = False,
) -> None:
    """Write synthetic images with known findings, as a data set for trials."""
    from xemplar.phantom import write_phantoms

    with progress("phantoms", count) as on_progress:
        write_phantoms(folder, count, seed=seed, size=size, dicom=dicom, on_progress=on_progress)
    Console(soft_wrap=True).print(f"{count:,} images in {plain(folder)}", highlight=False)
    name_next("index", str(folder))


def _note_reports(images: "list[DatasetImage]") -> None:
    """Tell that there are reports which are not stored."""
    count = sum(image.report is not None for image in images)
    if count:
        Console(stderr=True, soft_wrap=True, highlight=False).print(
            f"[yellow]note[/] {count:,} images have a report, which is not stored; --reports "
            "stores what the scrubber leaves of it"
        )


def _images(
    datasets: "list[Dataset]", splits: list[str], limit: int | None, rule: "PatientSplit"
) -> "list[DatasetImage]":
    """Return the selected images of all data sets."""
    from xemplar.errors import DatasetError

    images = [image for dataset in datasets for image in dataset.images]
    found = {rule.of(image) for image in images}
    wanted = [image for image in images if not splits or rule.of(image) in splits]
    if not wanted:
        raise DatasetError(
            f"no image is of the split {', '.join(splits)}; there are: {', '.join(sorted(found))}"
        )
    return wanted[:limit]


def _embed(
    images: "list[DatasetImage]",
    store: "Store",
    catalog: "Catalog",
    checkpoint: "Checkpoint",
    precision: str,
    threads: int,
    workers: int,
    ray: str | None,
    references: "StudyReferences | None",
    reports: "ReportReader | None",
    *,
    any_body_part: bool,
    burned_in_text: bool,
) -> "IndexingResult":
    if ray is not None:
        return _embed_on_cluster(
            images,
            store,
            catalog,
            checkpoint,
            ray,
            precision,
            threads,
            references,
            reports,
            any_body_part=any_body_part,
            burned_in_text=burned_in_text,
        )
    from xemplar.imaging import Limits
    from xemplar.imaging.decoder_pool import decoder
    from xemplar.indexing.job import STREAMS, embed_images
    from xemplar.model.encoder import Precision, open_encoder

    encoder = open_encoder(
        checkpoint, precision=Precision(precision), threads=threads, streams=STREAMS
    )
    workers = workers or min(os.cpu_count() or 2, 8)
    with (
        decoder(workers, Limits(), DECODE_SECONDS) as decode,
        progress("images", len(images)) as on_progress,
    ):
        return embed_images(
            images,
            store,
            catalog,
            encoder,
            workers=workers,
            decode=decode,
            references=references,
            reports=reports,
            on_progress=on_progress,
            any_body_part=any_body_part,
            burned_in_text=burned_in_text,
        )


def _embed_on_cluster(
    images: "list[DatasetImage]",
    store: "Store",
    catalog: "Catalog",
    checkpoint: "Checkpoint",
    address: str,
    precision: str,
    threads: int,
    references: "StudyReferences | None",
    reports: "ReportReader | None",
    *,
    any_body_part: bool,
    burned_in_text: bool,
) -> "IndexingResult":
    from xemplar.errors import ConfigurationError
    from xemplar.model.encoder import Precision

    if references is not None and references.days:
        raise ConfigurationError(
            "--study-days needs to know the patient of an image while it is read, which a Ray "
            "cluster is not told; leave out --ray or --study-days (XEMPLAR_STUDY_DAYS)"
        )
    try:
        from .cluster import embed_images_on_cluster
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"--ray needs {error.name}; install it with `pip install 'xemplar[ray]'`"
        ) from error
    with progress("images", len(images)) as on_progress:
        return embed_images_on_cluster(
            images,
            store,
            catalog,
            checkpoint,
            address,
            precision=Precision(precision),
            threads=threads,
            decode_seconds=DECODE_SECONDS,
            viewer_url=references.viewer_url if references else "",
            reports=reports,
            on_progress=on_progress,
            any_body_part=any_body_part,
            burned_in_text=burned_in_text,
        )


def _report_unreadable(unreadable: "tuple[SkippedImage, ...]") -> None:
    """Print all skipped images on stderr.

    They are not stored, as a file name may identify a patient.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for image in unreadable:
        console.print(f"[yellow]left out[/] {plain(image.path)}: {plain(image.reason)}")


def _report(
    outcome: "IndexingResult",
    published: "PublishedGeneration",
    store: "Store",
    go_live: bool,
    datasets: "list[Dataset]",
) -> None:
    skipped = sum((Counter(dataset.skipped) for dataset in datasets), Counter())
    reasons = Counter(image.reason for image in outcome.unreadable)
    speed = outcome.embedded / outcome.seconds if outcome.seconds else 0
    state = "is live" if go_live else "built, not published"
    lines = [
        f"{outcome.embedded:,} images embedded in {outcome.seconds:.1f} s ({speed:.0f} images/s)",
        f"{outcome.reused:,} embedded before, {counted('left out', reasons)}",
        *([counted("files skipped", skipped)] if skipped else []),
        *([f"{outcome.reports:,} reports stored"] if outcome.reports else []),
        f"generation {published.name} with {published.count:,} cases {state}"
        + ("" if published.is_new else " already"),
        f"store {store.root}",
    ]
    Console(soft_wrap=True, highlight=False).print(*map(plain, lines), sep="\n")
