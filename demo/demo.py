"""The demo: images -> index -> service -> a first query over HTTP -> the ranked cases.

Uses only the `xemplar` command and HTTP, as a user would. ``make demo`` runs it.
"""

import argparse
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
from typing import Any

from rich.console import Console
from xemplar_app.table import answer_tables

from xemplar.data.datasets import open_dataset
from xemplar.data.findings import NO_FINDING, positives

PHANTOMS = 200
HOST, PORT = "127.0.0.1", 8000
ADDRESS = f"http://{HOST}:{PORT}"
START_SECONDS = 120

console = Console()


def xemplar(*arguments: str | Path) -> None:
    """Run a subcommand to its end; its failure is the demo's."""
    subprocess.run([sys.executable, "-m", "xemplar", *map(str, arguments)], check=True)


def images(work: Path) -> tuple[Path, Path]:
    """(folder to index, image to ask with): real ones where XEMPLAR_DATA names them."""
    named = os.environ.get("XEMPLAR_DATA")
    if named:
        found = open_dataset(Path(named)).images
        shown = (image for image in found if set(positives(image.labels)) - {NO_FINDING})
        return Path(named), next(shown, found[0]).path
    folder, asked = work / "phantoms", work / "asked"
    if not folder.exists():
        console.print(f"No XEMPLAR_DATA: making {PHANTOMS} phantoms (synthetic images).")
        xemplar("phantoms", folder, "--count", str(PHANTOMS))
    if not asked.exists():
        xemplar("phantoms", asked, "--count", "1", "--seed", "1000")
    return folder, open_dataset(asked).images[0].path


def wait_until_ready(service: subprocess.Popen[bytes]) -> None:
    """Until /readyz answers; fails if the service ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if service.poll() is not None:
            sys.exit(f"the service ended with status {service.returncode}")
        try:
            with urllib.request.urlopen(f"{ADDRESS}/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    sys.exit(f"the service was not ready within {START_SECONDS} s")


def ask(image: Path) -> dict[str, Any]:
    """``POST /query`` with an image, as multipart/form-data; its own case is left out."""
    content, boundary = image.read_bytes(), uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="radiograph"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    own = hashlib.sha256(content).hexdigest()[:16]
    address = f"{ADDRESS}/query" + (f"?exclude={own}" if known(own) else "")
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(address, body, kind)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def known(case_id: str) -> bool:
    """Whether the service has a case."""
    try:
        with urllib.request.urlopen(f"{ADDRESS}/cases/{case_id}", timeout=60):
            return True
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return False
        raise


def show(image: Path, answer: dict[str, Any]) -> None:
    """Print the ranked cases, and the addresses to open."""
    console.print(f"\nAsked with {image}")
    for table in answer_tables(answer):
        console.print(table)
    first = answer["neighbours"][0]
    for what, url in (
        ("the reading room, to begin with", "/"),
        ("the API, to try out", "/docs"),
        ("the image with its Grad-CAM", answer["overlay_url"]),
        ("the most similar case with its Grad-CAM", first["overlay_url"]),
        ("why they match, on the image", first["query_evidence_url"]),
        ("why they match, on the case", first["evidence_url"]),
    ):
        console.print(f"  {what:42} {ADDRESS}{url}", highlight=False, soft_wrap=True)
    milliseconds = sum(answer["timings_ms"].values())
    console.print(f"Answered in {milliseconds:.0f} ms. {answer['notice']}", style="bold")


def main() -> None:
    """Images, index, service, first answer; then keep serving, unless --once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit after the first answer")
    once = parser.parse_args().once
    work = Path(".demo")
    folder, image = images(work)
    store = work / f"store-{folder.resolve().name}"
    xemplar("index", folder, "--store", store)
    command = [sys.executable, "-m", "xemplar", "serve", "--store", str(store)]
    service = subprocess.Popen([*command, "--host", HOST, "--port", str(PORT)])
    try:
        wait_until_ready(service)
        show(image, ask(image))
        if not once:
            console.print("Serving; stop with Ctrl-C.")
            service.wait()
    except KeyboardInterrupt:
        console.print("Stopping.")
    finally:
        service.terminate()
        service.wait(30)


if __name__ == "__main__":
    main()
