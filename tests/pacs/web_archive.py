"""An archive's DICOMweb service, as far as fetching needs it, that a test can break."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydicom import Dataset, dcmread

BOUNDARY = "between-parts"

Answer = tuple[int, str, bytes]
"""Status, media type and body."""

Fault = Callable[[str], Answer | None]
"""What is answered instead, by the path with its query; None for what a sound archive says."""


class WebArchive:
    """Films of an archive, and what was asked of it.

    Attributes:
        films: the files, in the order of the archive.
        asked: paths with their queries.
        fault: what goes wrong.
    """

    def __init__(self, films: Sequence[bytes]) -> None:
        self.films = list(films)
        self.asked: list[str] = []
        self.fault: Fault = lambda _: None
        self.authorization: list[str | None] = []

    @property
    def url(self) -> str:
        """Address of the service, while it runs."""
        return f"http://127.0.0.1:{self._port}/dicom-web"

    @property
    def files_asked(self) -> list[str]:
        """Paths of the files that were asked for."""
        return [path for path in self.asked if re.search(r"/instances/[0-9.]+$", path)]

    @contextmanager
    def running(self) -> Iterator["WebArchive"]:
        archive = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                archive.asked.append(self.path)
                archive.authorization.append(self.headers["Authorization"])
                status, kind, body = archive.fault(self.path) or archive.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self._port = server.server_address[1]
            thread = Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def answer(self, path: str) -> Answer:
        """What a sound archive says."""
        parts = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        way = parts.path.removeprefix("/dicom-web").strip("/").split("/")
        headers = [dcmread(BytesIO(film), stop_before_pixels=True) for film in self.films]
        if way == ["studies"]:
            return found(self._studies(headers, asked))
        mine = [one for one in headers if one.StudyInstanceUID == way[1]]
        if len(way) == 3:
            images = [one for one in mine if fits(one, asked)]
            return found([described(one) for one in images]) if mine else (404, "text/plain", b"")
        for film, one in zip(self.films, headers, strict=True):
            if [one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID] == way[1::2]:
                return enveloped(film)
        return 404, "text/plain", b""

    def _studies(self, headers: Sequence[Dataset], asked: dict[str, str]) -> list[dict[str, Any]]:
        first, last = (asked.get("StudyDate", "") or "-").split("-")
        studies: dict[str, list[Dataset]] = {}
        for one in headers:
            if (first or "0") <= one.StudyDate <= (last or "9"):
                studies.setdefault(one.StudyInstanceUID, []).append(one)
        page = list(studies.items())[int(asked["offset"]) :][: int(asked["limit"])]
        return [
            {
                "0020000D": value("UI", uid),
                "00080061": value("CS", *{one.Modality for one in images}),
                "00201208": value("IS", len(images)),
                "00100010": {"vr": "PN", "Value": [{"Alphabetic": str(images[0].PatientName)}]},
            }
            for uid, images in page
        ]


def fits(one: Dataset, asked: dict[str, str]) -> bool:
    """Whether an image meets a search."""
    named = {"Modality", "BodyPartExamined"} & asked.keys()
    return all(one.get(name) == asked[name] for name in named)


def described(one: Dataset) -> dict[str, Any]:
    """An image, as a search finds it."""
    return {
        "00080016": value("UI", one.SOPClassUID),
        "00080018": value("UI", one.SOPInstanceUID),
        "0020000E": value("UI", one.SeriesInstanceUID),
        "00080060": value("CS", one.Modality),
        "00180015": value("CS", one.get("BodyPartExamined", "")),
    }


def value(kind: str, *values: Any) -> dict[str, Any]:
    """An attribute in DICOM JSON (PS3.18 F)."""
    return {"vr": kind, "Value": [str(one) if kind == "UI" else one for one in values]}


def found(matches: Sequence[dict[str, Any]]) -> Answer:
    """What a search finds."""
    return 200, "application/dicom+json", json.dumps(matches).encode()


def enveloped(film: bytes) -> Answer:
    """A file, as WADO-RS sends it."""
    start = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    return 200, kind, start + film + f"\r\n--{BOUNDARY}--".encode()
