"""``xemplar serve`` and ``xemplar query``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xemplar.terminal import DEFAULT_STORE, CheckpointOption, DatabaseOption, StoreOption

if TYPE_CHECKING:
    from app.settings import Settings
    from xemplar.answer import Answer
    from xemplar.retriever import Retriever


def serve(
    store: StoreOption = DEFAULT_STORE,
    checkpoint: CheckpointOption = None,
    database: DatabaseOption = "",
    host: Annotated[
        str, typer.Option(envvar="XEMPLAR_HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="XEMPLAR_PORT", help="Port to listen on.")] = 8000,
) -> None:
    """Answer queries over HTTP; the API is documented at /docs.

    All other settings are environment variables XEMPLAR_*, listed in docs/settings.md.

    Examples:
        xemplar serve --store xemplar-store

        XEMPLAR_PRECISION=float32 xemplar serve --port 9000
    """
    import uvicorn

    from app.main import create_app, open_retriever

    settings = _settings(store, checkpoint, database, host=host, port=port)
    # opened here, so that what does not fit together is one line and not a server's traceback
    app = create_app(settings, open_retriever(settings))
    uvicorn.run(app, host=settings.host, port=settings.port, root_path=settings.root_path)


def query(
    film: Annotated[Path, typer.Argument(help="PNG, JPEG, TIFF or DICOM radiograph.")],
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
    pictures: Annotated[
        Path | None, typer.Option(help="New folder to write overlays and evidence into.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, as the service does.")
    ] = False,
) -> None:
    """Find past cases similar to one film, without a server.

    Examples:
        xemplar query film.png

        xemplar query film.dcm -k 10 --finding Effusion --pictures answer/
    """
    from rich.console import Console

    from app.main import open_retriever
    from app.table import answer_tables
    from app.wire import answer_out
    from xemplar.errors import ConfigurationError

    if not film.is_file():
        raise ConfigurationError(f"there is no film {film}")
    retriever = open_retriever(_settings(store, checkpoint, database))
    try:
        answer = retriever.ask(film.read_bytes(), k=k, finding=finding, exclude=exclude or ())
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


def _settings(store: Path, checkpoint: Path | None, database: str, **more: str | int) -> "Settings":
    from app.settings import read_settings

    named = {"checkpoint": checkpoint} if checkpoint else {}
    return read_settings(store=store, database_url=database, **named, **more)


def _write_pictures(retriever: "Retriever", answer: "Answer", folder: Path) -> None:
    """Overlays and evidence of the query and of each neighbour, and all in one sheet, as JPEG."""
    from app.sheet import sheet
    from xemplar.artefact import new_folder

    with new_folder(folder) as beside:
        (beside / "sheet.jpg").write_bytes(sheet(retriever, answer))
        (beside / "query.jpg").write_bytes(retriever.query_image(answer))
        (beside / "query-overlay.jpg").write_bytes(retriever.query_overlay(answer))
        for near in answer.neighbours:
            case, name = near.case, f"{near.rank:03d}-{near.case.case_id}"
            film = retriever.media.display_bytes(case.image_sha256)
            overlay = retriever.case_overlay(case, answer.explained)
            (beside / f"{name}.jpg").write_bytes(film)
            (beside / f"{name}-overlay.jpg").write_bytes(overlay)
            evidence = retriever.case_evidence(answer, case)
            (beside / f"{name}-evidence.jpg").write_bytes(evidence)
            evidence = retriever.query_evidence(answer, case)
            (beside / f"{name}-query-evidence.jpg").write_bytes(evidence)
