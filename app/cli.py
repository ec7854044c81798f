"""``xemplar serve``, ``xemplar query`` and ``xemplar openapi``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xemplar.cli.terminal import (
    DEFAULT_STORE,
    CheckpointOption,
    DatabaseOption,
    StoreOption,
    new_path,
)

if TYPE_CHECKING:
    from socket import socket

    from xemplar.retrieval.result import Answer
    from xemplar.retrieval.retriever import Retriever

    from .settings import Settings

BACKLOG = 128
"""Clients that wait to be connected. asyncio takes them all at once, each as an open file, before
any other connection may be closed for them (`Connection`)."""

WHICH = "Which cases"
"""Heading of these options in the help."""


def serve(
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
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
    from xemplar.model.checkpoint import load

    from .listening import listening

    settings = _settings(store, checkpoint, database, host=host, port=port)
    with listening(settings.host, settings.port) as sockets:  # before anything that takes long
        _serve(settings, sockets, load(checkpoint).digest if checkpoint else None)


def openapi() -> None:
    """Write the description of the HTTP interface (OpenAPI 3.1, JSON), to make clients from.

    Example:
        xemplar openapi > xemplar.json
    """
    from .main import create_app

    typer.echo(json.dumps(create_app().openapi(), indent=2))


def query(
    image: Annotated[
        Path,
        typer.Argument(help="PNG, JPEG, TIFF or DICOM radiograph.", exists=True, dir_okay=False),
    ],
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    k: Annotated[int, typer.Option("-k", help="How many cases, 1 to 100.")] = 5,
    finding: Annotated[
        str | None, typer.Option(help="Finding to explain; the most probable if not named.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Case id to leave out; may be given several times.")
    ] = None,
    any_of: Annotated[
        list[str] | None,
        typer.Option(
            help="Only cases with this finding, or another one named so.", rich_help_panel=WHICH
        ),
    ] = None,
    none_of: Annotated[
        list[str] | None,
        typer.Option(
            help="No case with this finding; may be given several times.", rich_help_panel=WHICH
        ),
    ] = None,
    sex: Annotated[str | None, typer.Option(help="F or M.", rich_help_panel=WHICH)] = None,
    age_min: Annotated[int | None, typer.Option(help="In years.", rich_help_panel=WHICH)] = None,
    age_max: Annotated[int | None, typer.Option(help="In years.", rich_help_panel=WHICH)] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(help="As PA; may be given several times.", rich_help_panel=WHICH),
    ] = None,
    min_similarity: Annotated[
        float, typer.Option(help="Less similar cases are not shown.", rich_help_panel=WHICH)
    ] = -1.0,
    diversity: Annotated[
        float,
        typer.Option(
            help="0: the most similar; towards 1: less like one another.", rich_help_panel=WHICH
        ),
    ] = 0.0,
    drop_near_duplicates: Annotated[
        bool,
        typer.Option(
            "--drop-near-duplicates", help="No image twice, nor this one.", rich_help_panel=WHICH
        ),
    ] = False,
    counter_examples: Annotated[
        int,
        typer.Option(
            help="Similar cases without the explained finding, 0 to 20.", rich_help_panel=WHICH
        ),
    ] = 0,
    pictures: Annotated[
        Path | None,
        typer.Option(help="New folder to write overlays and evidence into.", callback=new_path),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, as the service does.")
    ] = False,
) -> None:
    """Find past cases similar to one image, without a server.

    Examples:
        xemplar query image.png

        xemplar query radiograph.dcm -k 10 --finding Effusion --pictures answer/

        xemplar query image.png --sex F --age-min 40 --none-of Pneumothorax --counter-examples 3
    """
    from rich.console import Console

    from xemplar.catalog import CaseFilter
    from xemplar.retrieval.selection import Search

    from .opening import open_retriever
    from .table import answer_tables
    from .wire import answer_out

    search = Search(
        k=k,
        finding=finding,
        exclude=tuple(exclude or ()),
        filter=CaseFilter(
            any_of=tuple(any_of or ()),
            none_of=tuple(none_of or ()),
            sex=sex,
            age_min=age_min,
            age_max=age_max,
            views=tuple(view or ()),
        ),
        min_similarity=min_similarity,
        diversity=diversity,
        near_duplicates="drop" if drop_near_duplicates else "keep",
        counter_examples=counter_examples,
    )
    retriever = open_retriever(_settings(store, checkpoint, database))
    try:
        if checkpoint is not None:
            _refuse_other(checkpoint, retriever)
        answer = retriever.ask(image.read_bytes(), search)
        if pictures is not None:
            _write_pictures(retriever, answer, pictures)
    finally:
        retriever.close()
    out = answer_out(answer).model_dump()
    if as_json:
        typer.echo(json.dumps(out, indent=2))
        return
    console = Console()
    for table in answer_tables(out):
        console.print(table)
    console.print(out["notice"], style="bold")


def _serve(settings: "Settings", sockets: "list[socket]", named: str | None) -> None:
    """Serve until stopped; ``named`` is the digest of the checkpoint that was asked for."""
    import logging

    import uvicorn

    from .connection import connections
    from .listening import url_of
    from .logs import configure_logs
    from .main import create_app
    from .memory import give_back_large_pieces

    give_back_large_pieces()
    configure_logs(settings.log_format)
    failures: list[Exception] = []

    def stop(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    def tell(retriever: "Retriever") -> None:
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
        access_log=False,  # app.logs writes a line of its own, without what was asked for
    )
    server = uvicorn.Server(config)
    server.run(sockets)
    if failures:
        raise failures[0]
    if not server.started:
        raise typer.Exit(1)


def _settings(store: Path, checkpoint: Path | None, database: str, **more: str | int) -> "Settings":
    from .settings import read_settings

    named = {"checkpoint": checkpoint} if checkpoint else {}
    return read_settings(store=store, database_url=database, **named, **more)


def _refuse_other(checkpoint: Path, retriever: "Retriever") -> None:
    """A store that keeps its generation's checkpoint answers with that, whichever is named.

    Raises:
        Mismatch: another one is named.
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
    """Overlays and evidence of the query and of each case, and all in one sheet, as JPEG."""
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
