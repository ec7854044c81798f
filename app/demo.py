"""``xemplar demo``: indexes images, serves them and sends a first query over HTTP.

It uses only the command line and HTTP, as any user does.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from .table import answer_tables

WORK = Path(".demo")
"""Folder in the working directory for phantoms and store; a later demo reuses it."""

PHANTOMS = 200
HOST, PORT = "127.0.0.1", 8000
ADDRESS = f"http://{HOST}:{PORT}"
START_SECONDS = 120

console = Console()


def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit after the first answer.")] = False,
) -> None:
    """Index images, serve them on http://127.0.0.1:8000 and show a first answer.

    Uses the images in the folder XEMPLAR_DATA, or makes synthetic ones (phantoms). Keeps serving
    until Ctrl-C. Everything is kept in the folder .demo.

    Example:
        xemplar demo --once
    """
    folder, image = images(WORK)
    store = WORK / f"store-{folder.resolve().name}"
    xemplar("index", folder, "--store", store)
    command = [sys.executable, "-m", "xemplar", "serve", "--store", str(store)]
    service = subprocess.Popen([*command, "--host", HOST, "--port", str(PORT)])
    try:
        wait_until_ready(service)
        show(image, ask(image))
        if not once:
            console.print("Serving; press Ctrl-C to stop.")
            service.wait()
    except KeyboardInterrupt:
        console.print("Stopping.")
    finally:
        service.terminate()
        service.wait(30)


def images(work: Path) -> tuple[Path, Path]:
    """Choose the folder to index and the image to query with.

    Returns:
        XEMPLAR_DATA and one of its images with a finding, if that variable is set; otherwise new
        phantoms in the working folder, and another phantom.
    """
    from xemplar.data.datasets import open_dataset
    from xemplar.data.findings import NO_FINDING, positives

    named = os.environ.get("XEMPLAR_DATA")
    if named:
        found = open_dataset(Path(named)).images
        shown = (image for image in found if set(positives(image.labels)) - {NO_FINDING})
        return Path(named), next(shown, found[0]).path
    folder, asked = work / "phantoms", work / "asked"
    if not folder.exists():
        console.print(f"XEMPLAR_DATA is not set: making {PHANTOMS} phantoms (synthetic images).")
        xemplar("phantoms", folder, "--count", str(PHANTOMS))
    if not asked.exists():
        xemplar("phantoms", asked, "--count", "1", "--seed", "1000")
    return folder, open_dataset(asked).images[0].path


def xemplar(*arguments: str | Path) -> None:
    """Run a subcommand; if it fails, exit with its status."""
    command = [sys.executable, "-m", "xemplar", *map(str, arguments)]
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        raise typer.Exit(status)


def wait_until_ready(service: "subprocess.Popen[bytes]") -> None:
    """Wait until /readyz answers; exit with an error if the service ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if service.poll() is not None:
            _fail(f"the service ended with status {service.returncode}")
        try:
            with urllib.request.urlopen(f"{ADDRESS}/readyz", timeout=5):
                return
        except OSError:  # also a timeout of a busy machine, or 503
            time.sleep(0.1)
    _fail(f"the service was not ready within {START_SECONDS} s")


def ask(image: Path) -> dict[str, Any]:
    """Send an image to ``POST /query`` as multipart/form-data, excluding its own case."""
    content, boundary = image.read_bytes(), uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="radiograph"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    own = hashlib.sha256(content).hexdigest()[:16]
    address = f"{ADDRESS}/query" + (f"?exclude={own}" if has_case(own) else "")
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(address, body, content_type)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def has_case(case_id: str) -> bool:
    """Return whether the service has a case."""
    try:
        with urllib.request.urlopen(f"{ADDRESS}/cases/{case_id}", timeout=60):
            return True
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return False
        raise


def show(image: Path, answer: dict[str, Any]) -> None:
    """Print the ranked cases and the addresses to open."""
    console.print(f"\nQuery image: {image}")
    for table in answer_tables(answer):
        console.print(table)
    first = answer["neighbours"][0]
    for what, url in (
        ("start here: the reading room", "/"),
        ("the API documentation", "/docs"),
        ("the query image with its Grad-CAM", answer["overlay_url"]),
        ("the most similar case with its Grad-CAM", first["overlay_url"]),
        ("why they match, on the query image", first["query_evidence_url"]),
        ("why they match, on the case", first["evidence_url"]),
    ):
        console.print(f"  {what:42} {ADDRESS}{url}", highlight=False, soft_wrap=True)
    milliseconds = sum(answer["timings_ms"].values())
    console.print(f"Answered in {milliseconds:.0f} ms. {answer['notice']}", style="bold")


def _fail(reason: str) -> NoReturn:
    Console(stderr=True).print(f"[bold red]error[/] {reason}", highlight=False)
    raise typer.Exit(1)
