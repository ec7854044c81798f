"""``xemplar dicom fetch``: an archive's images become cases."""

import os
import ssl
import time
from collections import Counter
from datetime import datetime
from itertools import islice
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
    DatabaseOption,
    FactoryOption,
    IndexUrlOption,
    PrecisionOption,
    PublishOption,
    StoreOption,
    StudyDaysOption,
    ThreadsOption,
    ViewerUrlOption,
    counted,
    plain,
    progress,
)

from .pace import Hours, RateLimit

if TYPE_CHECKING:
    from xemplar.archive.store import Store
    from xemplar.catalog import Catalog
    from xemplar.indexing.result import IndexingResult
    from xemplar.model.encoder import Encoder
    from xemplar.retrieval.references import StudyReferences

    from .fetching import Fetching

DECODE_SECONDS = 60
"""Decoding timeout per image, so that no single file blocks a whole archive."""

LOOK_SECONDS = 60.0
"""Interval at which the clock is read outside the hours: it may jump."""


def fetch(
    archive: Annotated[
        str,
        typer.Argument(
            help="DICOMweb service of the archive, as https://user@pacs.example/dicom-web?"
            "password_file=/run/secrets/pacs: the file holds the password.",
            metavar="URL",
        ),
    ],
    source: Annotated[
        str,
        typer.Option(
            help="Name of the data set that the images belong to, and within which patient ids "
            "(with their issuer) are unique; give another archive another name."
        ),
    ] = "pacs",
    modality: Annotated[
        list[str] | None, typer.Option(help="Modality of the images; repeatable. [CR, DX]")
    ] = None,
    body_part: Annotated[
        str, typer.Option(help="BodyPartExamined of the images, as CHEST; default: any.")
    ] = "",
    dates: Annotated[
        str, typer.Option(help="Days of the studies, as 20200101-20201231 or 20200101-.")
    ] = "",
    between: Annotated[
        str,
        typer.Option(
            help="Hours of the day, as 22:00-06:00, local time: outside them it waits, and what "
            "was fetched until then is published."
        ),
    ] = "",
    rate: Annotated[float, typer.Option(min=0, help="Images a second at most; 0: no limit.")] = 0,
    connections: Annotated[
        int, typer.Option(min=1, max=32, help="Images that are fetched at once.")
    ] = 4,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of images, for a first trial.")
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Also what was fetched before: cases removed since, and images left out.",
        ),
    ] = False,
    trusted: Annotated[
        Path | None,
        typer.Option(
            help="Certificates (PEM) of the authorities that the archive must be certified by; "
            "default: those that this machine trusts.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
    viewer_url: ViewerUrlOption = "",
    study_days: StudyDaysOption = False,
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
    any_body_part: AnyBodyPartOption = False,
    burned_in_text: BurnedInTextOption = False,
    factory: FactoryOption = "",
    publish: PublishOption = True,
) -> None:
    """Embed an archive's CR and DX images and publish an index of all cases in the store.

    The command can be interrupted and restarted: no image is fetched twice, and none is lost. Files
    stay in memory; of the patient a pseudonym is kept, of studies and images keyed digests.

    Examples:
        xemplar dicom fetch http://localhost:8042/dicom-web --store archive --limit 100

        xemplar dicom fetch https://xemplar@pacs.example/dicom-web?password_file=/run/secrets/pacs
        --body-part CHEST --dates 20200101- --between 22:00-06:00 --rate 5 --store archive
    """
    limit_threads(os.environ)  # before the first import of numpy
    from xemplar.archive.store import Store
    from xemplar.catalog import migrate, open_catalog
    from xemplar.errors import ConfigurationError
    from xemplar.index import known_factory
    from xemplar.indexing.job import STREAMS
    from xemplar.indexing.publishing import build_generation, fit_validator
    from xemplar.model.checkpoint import default_checkpoint, keep, load
    from xemplar.model.encoder import Precision, open_encoder
    from xemplar.names import check_name
    from xemplar.operations.fetched import Fetched
    from xemplar.retrieval.references import study_references

    try:
        from .archive import DicomWebArchive
        from .fetching import Fetching
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"fetching needs {error.name}; install it with `pip install 'xemplar[pacs]'`"
        ) from error
    from ..address import archive_address
    from .journal import Journal
    from .query import fetch_query

    query, hours = fetch_query(modality or ["CR", "DX"], body_part, dates), Hours.parse(between)
    check_name(source, "the name of a data set (--source)")
    try:
        address = archive_address(archive)
    except ValueError as error:
        raise ConfigurationError(f"the archive's address cannot be used: {error}") from error
    if address.kind != "web":
        raise ConfigurationError(
            "images are fetched over DICOMweb; name the archive's address as https://HOST/PATH"
        )
    place, loaded = Store(store, index_url), load(checkpoint or default_checkpoint())
    references = study_references(place, viewer_url, days=study_days)
    if factory:
        known_factory(place, factory)  # refuses an unknown one before the long work
    keep(checkpoint or default_checkpoint(), place)
    url = database or place.database_url
    migrate(url, place)
    console = Console(soft_wrap=True, highlight=False)
    encoder = open_encoder(loaded, precision=Precision(precision), threads=threads, streams=STREAMS)
    dicomweb = DicomWebArchive(address, verify=_trust(trusted))
    with open_catalog(url) as catalog:
        journal = Journal(place, Fetched(catalog.engine), query, again=again)
        while True:
            _wait(hours)
            fetching = Fetching(
                dicomweb,
                query,
                journal,
                source,
                pace=RateLimit(rate),
                may_go_on=lambda: hours.seconds_until(_now()) == 0,
            )
            outcome = _run(
                fetching,
                place,
                catalog,
                encoder,
                connections,
                limit,
                references,
                any_body_part=any_body_part,
                burned_in_text=burned_in_text,
            )
            lines = _lines(outcome, fetching)
            if catalog.count(loaded.digest):
                changed = outcome.embedded > 0
                published = build_generation(
                    place, catalog, loaded, changed=changed, go_live=publish, factory=factory
                )
                if publish:
                    fit_validator(place, catalog, loaded, Precision(precision), threads)
                state = "is live" if publish else "built, not published"
                lines.append(
                    f"generation {published.name} with {published.count:,} cases {state}"
                    + ("" if published.is_new else " already")
                )
            console.print(*map(plain, lines), sep="\n")
            if fetching.finished or limit is not None:
                break
    dicomweb.close()


def _run(
    fetching: "Fetching",
    store: "Store",
    catalog: "Catalog",
    encoder: "Encoder",
    connections: int,
    limit: int | None,
    references: "StudyReferences | None",
    *,
    any_body_part: bool,
    burned_in_text: bool,
) -> "IndexingResult":
    """Fetch and embed until the archive has no more, the hours end or the limit is reached."""
    from xemplar.imaging import Limits
    from xemplar.imaging.decoder_pool import decoder
    from xemplar.indexing.job import embed_images

    try:
        with (
            decoder(connections, Limits(), DECODE_SECONDS) as decode,
            progress("images", None) as on_progress,
        ):
            return embed_images(
                islice(fetching.images(), limit),
                store,
                catalog,
                encoder,
                workers=connections,
                any_body_part=any_body_part,
                burned_in_text=burned_in_text,
                decode=decode,
                load=fetching.load,
                references=references,
                on_progress=on_progress,
                on_kept=fetching.kept,
            )
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Stopped. What was fetched is kept; run the same command to continue."
        )
        raise typer.Exit(130) from None


def _lines(outcome: "IndexingResult", fetching: "Fetching") -> list[str]:
    """Summarise a run; no image is named, as its UID identifies the patient."""
    left_out = Counter(image.reason for image in outcome.unreadable) + fetching.skipped
    speed = outcome.embedded / outcome.seconds if outcome.seconds else 0
    return [
        f"{outcome.embedded:,} images embedded in {outcome.seconds:.1f} s ({speed:.0f} images/s)",
        f"{fetching.before:,} studies fetched before, {outcome.reused:,} images embedded before, "
        + counted("left out", left_out),
        *([] if fetching.finished else ["there may be more in the archive"]),
    ]


def _wait(hours: Hours) -> None:
    """Wait until the hours begin."""
    left = hours.seconds_until(_now())
    if left:
        Console(stderr=True).print(f"waiting until {hours.begin:%H:%M}", highlight=False)
    while left:
        time.sleep(min(left, LOOK_SECONDS))
        left = hours.seconds_until(_now())


def _now() -> datetime:
    """Local time, as the wall clock has it."""
    return datetime.now().astimezone().replace(tzinfo=None)


def _trust(trusted: Path | None) -> ssl.SSLContext:
    from xemplar.errors import ConfigurationError

    try:
        context = ssl.create_default_context(cafile=trusted)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the certificates in {trusted} cannot be used ({type(error).__name__}); name a PEM "
            "file that this user may read (--trusted)"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
