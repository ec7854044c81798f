"""Looks at results in OHIF: a film with its picture and report, from a real Orthanc, in Chromium.

Serves the built viewer of the npm package ``@ohif/app`` from a temporary folder, with Orthanc's
DICOMweb under the same address, so that no request leaves this machine, and takes screenshots of
the film, the Secondary Capture and the Structured Report.

It fails if a series of the study is missing in the viewer, a picture stays black, or the report
cannot be opened.

    python -m tests.system.ohif --out docs/pictures          # fetches the package with npm
    python -m tests.system.ohif --out shots --dist package/dist
"""

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import httpx2
import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from xemplar_pacs.results.objects import result_objects
from xemplar_pacs.results.source import read_source

from tests.system.common import index_images
from tests.system.orthanc import Orthanc
from xemplar.api.search import Search
from xemplar.archive.store import Store
from xemplar.data.datasets import open_dataset
from xemplar.model.checkpoint import default_checkpoint
from xemplar.phantom import phantom, write_phantoms
from xemplar.phantom.film import film
from xemplar.retrieval.retriever import Retriever

PACKAGE = "@ohif/app@3.13"
CASES = 24
SEED = 4711
"""Of the phantom that is asked about."""

CONFIGURATION = """window.config = {
  routerBasename: null, extensions: [], modes: [], showStudyList: true,
  customizationService: [{
    // OHIF 3.13 takes each measurement of a report for one with a region
    onBeforeSRAddMeasurement: {
      $set: ({measurement}) =>
        measurement.coords.length ? measurement : {...measurement, coords: [{}]},
    },
  }],
  showLoadingIndicator: true, investigationalUseDialog: {option: "never"},
  defaultDataSourceName: "orthanc",
  dataSources: [{
    namespace: "@ohif/extension-default.dataSourcesModule.dicomweb", sourceName: "orthanc",
    configuration: {
      friendlyName: "Orthanc", name: "orthanc", qidoRoot: "/dicom-web", wadoRoot: "/dicom-web",
      wadoUriRoot: "/wado", qidoSupportsIncludeField: false, imageRendering: "wadors",
      thumbnailRendering: "wadors", enableStudyLazyLoad: true, supportsFuzzyMatching: false,
      supportsWildcard: true, omitQuotationForMultipartRequest: true,
      bulkDataURI: {enabled: true, relativeResolution: "studies"},
    },
  }],
};"""


@contextmanager
def viewer(dist: Path, archive: Orthanc) -> Iterator[str]:
    """Serve the viewer and, under the same address, the archive; gives the address."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(dist))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path.startswith(("/dicom-web", "/wado")):
                kept = {"Accept": self.headers.get("Accept", "*/*")}
                answer = httpx2.get(archive.url + self.path, headers=kept, timeout=60)
                self._send(answer.status_code, answer.headers["Content-Type"], answer.content)
            elif path == "/app-config.js":
                self._send(200, "text/javascript", CONFIGURATION.encode())
            elif (dist / path.lstrip("/")).is_file():
                super().do_GET()
            else:  # an address within the application
                self._send(200, "text/html", (dist / "index.html").read_bytes())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def end_headers(self) -> None:
            # the decoders of the viewer share memory between threads
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def fill(archive: Orthanc, folder: Path) -> str:
    """Send a film and its results to the archive; return the study's UID."""
    write_phantoms(folder / "phantoms", CASES, size=512)
    store = Store(folder / "store")
    index_images(open_dataset(folder / "phantoms").images, store, default_checkpoint())
    data = film(phantom(SEED, size=1024))
    retriever = Retriever.open(default_checkpoint(), store)
    try:
        answer = retriever.ask(data, Search(k=4))
        made = result_objects(data, retriever.live, retriever.media, answer, datetime.now(UTC))
    finally:
        retriever.close()
    for file in (data, *(one.data for one in made)):
        httpx2.post(f"{archive.url}/instances", content=file).raise_for_status()
    return str(read_source(data).header.StudyInstanceUID)


def look(page: Page, url: str, study: str, out: Path) -> None:
    """Open the study, and each of its series; take the screenshots."""
    page.goto(f"{url}/viewer?StudyInstanceUIDs={study}")
    series = page.locator('[data-cy="study-browser-thumbnail"]')
    report = page.locator('[data-cy="study-browser-thumbnail-no-image"]')
    expect(series).to_have_count(2, timeout=180_000)
    expect(report).to_have_count(1)
    page.get_by_text("Skip all").click(timeout=120_000)  # the viewer's tour of itself
    bright(page)
    page.screenshot(path=out / "ohif-film.png")
    for name, one in (("ohif-picture", series.last), ("ohif-report", report)):
        one.dblclick()
        page.wait_for_load_state("networkidle")
        bright(page)
        page.wait_for_timeout(2000)  # the viewer fades its messages in and out
        expect(page.get_by_text("Something went wrong")).to_have_count(0)
        page.screenshot(path=out / f"{name}.png")


def bright(page: Page) -> None:
    """Wait until a picture is drawn in the viewport."""
    pane = page.locator('[data-cy="viewport-pane"]').first
    expect(pane).to_be_visible(timeout=120_000)
    for _ in range(300):
        drawn = np.asarray(Image.open(BytesIO(pane.screenshot())).convert("L"))
        if np.mean(drawn > 64) > 0.1:
            return
        page.wait_for_timeout(200)
    raise SystemExit("nothing is drawn in the viewport")


def main() -> None:
    """Fill an archive, open its study in the viewer, take the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the screenshots")
    parser.add_argument("--dist", type=Path, help="unpacked package/dist; default: npm's")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if chromium is None:
        parser.error("there is no Chromium here: apt-get install chromium")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        dist = arguments.dist or fetched(folder)
        with Orthanc(folder) as archive, viewer(dist, archive) as url:
            study = fill(archive, folder)
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.on("pageerror", lambda error: print(f"page: {error}"))
            try:
                look(page, url, study, arguments.out)
            except BaseException:
                page.screenshot(path=arguments.out / "ohif-failed.png")
                raise
            finally:
                browser.close()


def fetched(folder: Path) -> Path:
    """Fetch and unpack the package."""
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
    (file,) = folder.glob("*.tgz")
    subprocess.run(["tar", "xzf", file], cwd=folder, check=True)
    return folder / "package" / "dist"


if __name__ == "__main__":
    main()
