"""``xemplar demo``: indexes images, serves them and sends a first query over HTTP.

It uses only the command line and HTTP, as any user does.
"""

import hashlib
import json
import os
import socket
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
LOG = "serve.log"
"""File in the working folder with what the service logs."""

START_SECONDS = 120

console = Console()


def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit after the first answer.")] = False,
) -> None:
    """Index images, serve them on http://127.0.0.1:8000 and show a first answer.

    Uses the images in the folder XEMPLAR_DATA, or makes synthetic ones (phantoms). Keeps serving
    until Ctrl-C. Everything is kept in the folder .demo, the service's log in .demo/serve.log. If
    port 8000 is taken, another one is used.

    Example:
        xemplar demo --once
    """
    folder, image = images(WORK)
    store = WORK / f"store-{folder.resolve().name}"
    is_new = not store.exists()
    xemplar("index", folder, "--store", store)
    if is_new and folder == WORK / "phantoms":  # no network was trained on them
        xemplar("generations", "calibrate", "--store", store)
    command = [sys.executable, "-m", "xemplar", "serve", "--store", str(store)]
    port = free_port()
    address, log = f"http://{HOST}:{port}", WORK / LOG
    with log.open("wb") as file:
        options = ["--host", HOST, "--port", str(port)]
        service = subprocess.Popen([*command, *options], stdout=file, stderr=file)
    try:
        wait_until_ready(service, address, log)
        show(image, ask(image, address), address)
        if not once:
            console.print(f"Serving; the log is {log}. Press Ctrl-C to stop.")
            service.wait()
    except KeyboardInterrupt:
        console.print("Stopping.")
    finally:
        service.terminate()
        service.wait(30)


def free_port() -> int:
    """Return port 8000, or another one if a program listens there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, PORT))
        except OSError:
            listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
    return port


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


def wait_until_ready(service: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    """Wait until /readyz answers; exit with an error if the service ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if service.poll() is not None:
            _fail(f"the service ended with status {service.returncode}; see {log}")
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                return
        except OSError:  # also a timeout of a busy machine, or 503
            time.sleep(0.1)
    _fail(f"the service was not ready within {START_SECONDS} s; see {log}")


def ask(image: Path, service: str) -> dict[str, Any]:
    """Send an image to ``POST /query`` as multipart/form-data, excluding its own case."""
    content, boundary = image.read_bytes(), uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="radiograph"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    own = hashlib.sha256(content).hexdigest()[:16]
    address = f"{service}/query" + (f"?exclude={own}" if has_case(own, service) else "")
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(address, body, content_type)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def has_case(case_id: str, service: str) -> bool:
    """Return whether the service has a case."""
    try:
        with urllib.request.urlopen(f"{service}/cases/{case_id}", timeout=60):
            return True
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return False
        raise


def show(image: Path, answer: dict[str, Any], address: str) -> None:
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
        console.print(f"  {what:42} {address}{url}", highlight=False, soft_wrap=True)
    milliseconds = sum(answer["timings_ms"].values())
    console.print(f"Answered in {milliseconds:.0f} ms. {answer['notice']}", style="bold")


def _fail(reason: str) -> NoReturn:
    Console(stderr=True).print(f"[bold red]error[/] {reason}", highlight=False)
    raise typer.Exit(1)
