"""``xemplar dicom``: results as files, a node that listens, its outbox, and an archive's images."""

from pathlib import Path
from typing import Annotated, Any

import typer

from xemplar.api.search import Search
from xemplar.cli.options import options_from
from xemplar.cli.terminal import (
    DEFAULT_STORE,
    DatabaseOption,
    IndexUrlOption,
    StoreOption,
    new_path,
)

from .fetch.cli import fetch
from .listen.cli import listen
from .outbox.cli import outbox

dicom = typer.Typer(no_args_is_help=True, help="Results as DICOM objects, from and to a PACS.")
dicom.command()(fetch)
dicom.command()(listen)
dicom.add_typer(outbox, name="outbox")


@dicom.command()
@options_from(Search, panel="Search")
def results(
    image: Annotated[
        Path, typer.Argument(help="DICOM radiograph.", exists=True, dir_okay=False, readable=True)
    ],
    out: Annotated[
        Path,
        typer.Option(help="New folder to write the objects into.", callback=new_path),
    ],
    store: StoreOption = DEFAULT_STORE,
    database: DatabaseOption = "",
    index_url: IndexUrlOption = "",
    *,
    options: dict[str, Any],
) -> None:
    """Write the answer to a DICOM image as objects of its study: a picture and a report.

    secondary-capture.dcm shows the image and its similar cases as the web page does;
    structured-report.dcm (TID 1500) has findings, regions and cases for machines. They name the
    patient as the image does, and go to the archive that it came from.

    Examples:
        xemplar dicom results image.dcm --out answer/

        xemplar dicom results image.dcm --out answer/ -k 3 --finding Effusion --store archive
    """
    from datetime import UTC, datetime

    try:
        from .results.objects import result_objects
    except ModuleNotFoundError as error:
        raise typer.BadParameter(
            f"DICOM results need {error.name}: pip install 'xemplar[pacs]'"
        ) from error
    from xemplar.api import NOTICE
    from xemplar.archive.artefact import new_folder
    from xemplar.archive.store import Store
    from xemplar.model.checkpoint import default_checkpoint
    from xemplar.retrieval.retriever import Retriever

    from .results.source import read_source

    data, search = image.read_bytes(), Search(**options)
    read_source(data)  # refuses what has no study before the network is loaded
    retriever = Retriever.open(default_checkpoint(), Store(store, index_url), database)
    try:
        answer = retriever.ask(data, search)
        live, media = retriever.live, retriever.media
        made = result_objects(data, live, media, answer, datetime.now(UTC))
    finally:
        retriever.close()
    with new_folder(out) as beside:
        for one in made:
            (beside / one.file_name).write_bytes(one.data)
    for one in made:
        typer.echo(f"{out / one.file_name}  {one.uid}")
    typer.echo(NOTICE)
