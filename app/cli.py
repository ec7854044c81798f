"""``xemplar serve``, ``xemplar query`` and ``xemplar openapi``."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xemplar.api.search import Search
from xemplar.cli.environment import limit_threads
from xemplar.cli.options import options_from
from xemplar.cli.terminal import (
    DEFAULT_STORE,
    CheckpointOption,
    DatabaseOption,
    IndexUrlOption,
    StoreOption,
    name_next,
    new_path,
)
from xemplar.errors import InputError, InvalidArgument

if TYPE_CHECKING:
    from socket import socket

    from xemplar.retrieval.result import Answer
    from xemplar.retrieval.retriever import Retriever

    from .settings import ServiceSettings

BACKLOG = 128
"""Length of the queue of connections to accept. asyncio accepts them all at once, each an open
file, before `LimitedConnection` can close any other for them."""


def serve(
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
    host: Annotated[
        str, typer.Option(envvar="XEMPLAR_HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(envvar="XEMPLAR_PORT", min=0, max=65535, help="Port to listen on; 0: any."),
    ] = 8000,
) -> None:
    """Answer queries over HTTP; the API is documented at /docs.

    All other settings are environment variables XEMPLAR_*, listed in docs/settings.md.

    Examples:
        xemplar serve --store xemplar-store

        XEMPLAR_PRECISION=float32 xemplar serve --port 9000
    """
    limit_threads(os.environ)  # before the first import of numpy
    from xemplar.model.checkpoint import load

    from .listening import listening

    settings = _settings(store, checkpoint, database, index_url, host=host, port=port)
    with listening(settings.host, settings.port) as sockets:  # before anything that takes long
        _serve(settings, sockets, load(checkpoint).digest if checkpoint else None)


def openapi() -> None:
    """Write the OpenAPI 3.1 document of the HTTP interface as JSON, for client generators.

    Example:
        xemplar openapi > xemplar.json
    """
    from .main import create_app

    typer.echo(json.dumps(create_app().openapi(), indent=2))


@options_from(Search, panel="Search")
def query(
    image: Annotated[
        Path | None,
        typer.Argument(
            help="PNG, JPEG, TIFF or DICOM radiograph; without one, --text alone is searched for.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
    prior: Annotated[
        list[Path] | None,
        typer.Option(
            help="Earlier image of the same patient, shown beside; once for each, the earliest "
            "first.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    with_image: Annotated[
        list[Path] | None,
        typer.Option(
            help="Another image of the same question, which counts as much; repeatable.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="New folder to write overlays and evidence into.", callback=new_path),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, as the service does.")
    ] = False,
    *,
    options: dict[str, Any],
) -> None:
    """Find past cases similar to one image, without a server.

    Examples:
        xemplar query image.png

        xemplar query radiograph.dcm -k 10 --finding Effusion --pictures answer/

        xemplar query today.dcm --prior first.dcm --prior second.dcm

        xemplar query first.png --with-image second.png --with-image third.png

        xemplar query image.png --sex F --age-min 40 --none-of Pneumothorax --counter-examples 3

        xemplar query --text "left effusion with cardiomegaly"
    """
    limit_threads(os.environ)  # before the first import of numpy
    from rich.console import Console

    from .opening import open_retriever
    from .table import answer_tables
    from .wire import words_answer_out

    search = Search(**options)
    if image is None:
        search.check_without_image()
        _refuse_options_of_image({"prior": prior, "with-image": with_image, "pictures": pictures})
    elif prior and with_image:
        raise InvalidArgument("--prior and --with-image cannot be combined; leave one of them out")
    settings = _settings(store, checkpoint, database, index_url, concurrent_queries=1)
    retriever = open_retriever(settings)
    try:
        if checkpoint is not None:
            _refuse_other(checkpoint, retriever)
        if image is None:
            out = words_answer_out(retriever.ask_words(search)).model_dump()
        else:
            out = _similar_to(retriever, image, prior or [], with_image or [], search, pictures)
    finally:
        retriever.close()
    if as_json:
        typer.echo(json.dumps(out, indent=2))
        return
    console = Console()
    for table in answer_tables(out):
        console.print(table)
    console.print(out["notice"], style="bold")
    if image is not None and pictures is None:
        name_next("query", str(image), "--store", str(store), "--pictures", "answer")
    else:
        name_next("serve", "--store", str(store))


def _refuse_options_of_image(options: dict[str, Any]) -> None:
    """Refuses options that need an image.

    Raises:
        InvalidArgument: one of them was given.
    """
    given = next((name for name, value in options.items() if value), None)
    if given is not None:
        raise InvalidArgument(f"--{given} needs an image; name its file as well")


def _similar_to(
    retriever: "Retriever",
    image: Path,
    priors: list[Path],
    beside: list[Path],
    search: Search,
    pictures: Path | None,
) -> dict[str, Any]:
    """Answers for an image and those beside it, as JSON; writes pictures into a named folder."""
    from xemplar.retrieval.result import Answer

    from .wire import answer_out, series_out

    earlier: list[Answer | InputError] = []
    answer: Answer | InputError
    if beside:
        answer, _ = retriever.ask_together([file.read_bytes() for file in (image, *beside)], search)
    else:
        *earlier, answer = retriever.ask_all([f.read_bytes() for f in (*priors, image)], search)
    if not isinstance(answer, Answer):
        raise answer
    if pictures is not None:
        _write_pictures(retriever, answer, pictures)
    return (series_out(answer, earlier) if earlier else answer_out(answer)).model_dump()


def _serve(settings: "ServiceSettings", sockets: "list[socket]", named: str | None) -> None:
    """Serves until stopped; ``named`` is the digest of the requested checkpoint, if any."""
    import logging

    import uvicorn

    from .connection import connections
    from .listening import url_of
    from .logs import configure_logs
    from .main import create_app
    from .memory import freeze_loaded_objects, give_back_large_pieces

    give_back_large_pieces()
    configure_logs(settings.log_format)
    failures: list[Exception] = []

    def stop(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    def tell(retriever: "Retriever") -> None:
        freeze_loaded_objects()
        log, live = logging.getLogger("xemplar"), retriever.checkpoint.digest
        if named and named != live:
            log.warning(
                "checkpoint %s is not used: the live generation was built with %s, which the "
                "store keeps; `xemplar reindex --checkpoint` builds an index with another",
                named[:12],
                live[:12],
            )
        generation, where = retriever.generation, url_of(settings.host, sockets)
        log.info(
            "ready: %s cases, generation %s, %s", f"{len(generation):,}", generation.name, where
        )

    config = uvicorn.Config(
        create_app(settings, on_failure=stop, on_ready=tell),
        http=connections(
            settings.head_seconds, settings.connections, settings.connections_per_address
        ),
        backlog=BACKLOG,
        ws="none",  # a connection that changed its protocol would have no limits
        timeout_graceful_shutdown=settings.stop_seconds,
        server_header=False,
        log_config=None,
        access_log=False,  # app.logs writes its own line, without the query string
    )
    server = uvicorn.Server(config)
    server.run(sockets)
    if failures:
        raise failures[0]
    if not server.started:
        raise typer.Exit(1)


def _settings(
    store: Path, checkpoint: Path | None, database: str, index_url: str, **more: str | int
) -> "ServiceSettings":
    from .settings import read_settings

    named = {"checkpoint": checkpoint} if checkpoint else {}
    return read_settings(store=store, database_url=database, index_url=index_url, **named, **more)


def _refuse_other(checkpoint: Path, retriever: "Retriever") -> None:
    """Refuses a checkpoint other than the one that built the store's live generation.

    Raises:
        Mismatch: the digests differ.
    """
    from xemplar.errors import Mismatch
    from xemplar.model.checkpoint import load

    named, live = load(checkpoint).digest, retriever.checkpoint.digest
    if named != live:
        raise Mismatch(
            f"the live generation {retriever.generation.name} was built with checkpoint "
            f"{live[:12]}, which the store keeps, and not with {named[:12]} ({checkpoint}); leave "
            "--checkpoint (XEMPLAR_CHECKPOINT) out, or build an index with it: `xemplar reindex "
            f"--checkpoint {checkpoint}`"
        )


def _write_pictures(retriever: "Retriever", answer: "Answer", folder: Path) -> None:
    """Writes overlays and evidence of the query and of each case, and a sheet of all, as JPEG."""
    from xemplar.archive.artefact import new_folder
    from xemplar.retrieval import render

    from .sheet import sheet

    live, media = retriever.live, retriever.media
    named = {f"{near.rank:03d}": near for near in answer.neighbours}
    named |= {f"counter-{near.rank:03d}": near for near in answer.counter_examples}
    with new_folder(folder) as beside:
        (beside / "sheet.jpg").write_bytes(sheet(live, media, answer))
        (beside / "query.jpg").write_bytes(render.query_image(answer))
        (beside / "query-overlay.jpg").write_bytes(render.query_overlay(live, answer))
        for rank, near in named.items():
            case, name = near.case, f"{rank}-{near.case.case_id}"
            image = media.display_bytes(case.image_sha256)
            overlay = render.case_overlay(live, media, case, answer.explained)
            (beside / f"{name}.jpg").write_bytes(image)
            (beside / f"{name}-overlay.jpg").write_bytes(overlay)
            evidence = render.case_evidence(live, media, answer, case)
            (beside / f"{name}-evidence.jpg").write_bytes(evidence)
            evidence = render.query_evidence(live, answer, case)
            (beside / f"{name}-query-evidence.jpg").write_bytes(evidence)
