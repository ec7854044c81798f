"""Results go out by STOW-RS: what the archive's answer means."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from xemplar_pacs.outbox.archive import ArchiveAway, ObjectRefused, open_archive
from xemplar_pacs.outbox.outbox import Item, NewResult, Outbox, image_digest
from xemplar_pacs.settings import NodeSettings

STORED = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["2.25.1"]}}]}}


def failed(reason: int) -> dict[str, object]:
    return {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [reason]}}]}}


class Web:
    """A web service with one answer.

    Attributes:
        answer: status and body.
        got: path, headers and body of each request.
    """

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, json.dumps(STORED).encode())
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.got.append((self.path, dict(self.headers), body))
                status, said = web.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/dicom-web"


@pytest.fixture
def web() -> Iterator[Web]:
    one = Web()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def item(tmp_path: Path) -> tuple[Item, Path]:
    outbox = Outbox.open(tmp_path)
    outbox.keep(b"i", image_digest(b"i"), "1.2", "ask")
    result = NewResult("structured report", "1.3", "2.25.1", b"\0--bytes\r\n--of a report")
    outbox.answered(outbox.waiting("ask")[0], [result], None)
    waiting = outbox.waiting("send")[0]
    return waiting, outbox.path(waiting)


def store(address: str, item: tuple[Item, Path]) -> None:
    archive = open_archive(NodeSettings(archive=address, stall_seconds=5))
    with archive.connected(frozenset({item[0].sop_class})) as send:
        send(*item)


def test_sends_the_bytes_as_they_are(web: Web, item: tuple[Item, Path]) -> None:
    store(web.url, item)
    ((path, headers, body),) = web.got
    kind, _, boundary = headers["Content-Type"].partition("; boundary=")
    assert path == "/dicom-web/studies"
    assert kind == 'multipart/related; type="application/dicom"'
    begin = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    assert body == begin + item[1].read_bytes() + f"\r\n--{boundary}--\r\n".encode()


def test_names_its_user(web: Web, item: tuple[Item, Path], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    address = web.url.replace("//", "//me@") + f"?password_file={tmp_path / 'password'}"
    store(address, item)
    assert web.got[0][1]["Authorization"] == "Basic bWU6aHVudGVyMg=="


@pytest.mark.parametrize("status", [200, 202, 409])
def test_a_duplicate_is_delivered(web: Web, item: tuple[Item, Path], status: int) -> None:
    web.answer = (status, json.dumps(failed(0x0111)).encode())
    store(web.url, item)


REFUSED: dict[str, tuple[int, Callable[[], bytes], str]] = {
    "a failure": (409, lambda: json.dumps(failed(0xA900)).encode(), "0xA900"),
    "a failure among successes": (202, lambda: json.dumps(failed(0xC000)).encode(), "0xC000"),
    "nothing told": (409, lambda: b"{}", "none told"),
    "another type": (415, lambda: b"<html>", "415"),
    "a broken archive": (500, lambda: b"oops", "500"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_about_the_object(web: Web, item: tuple[Item, Path], name: str) -> None:
    status, body, message = REFUSED[name]
    web.answer = (status, body())
    with pytest.raises(ObjectRefused, match=message):
        store(web.url, item)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 408, 429, 502, 503, 504, 302])
def test_other_statuses_are_about_the_service(
    web: Web, item: tuple[Item, Path], status: int
) -> None:
    web.answer = (status, b"")
    with pytest.raises(ArchiveAway, match=str(status)):
        store(web.url, item)


def test_a_success_that_is_none_is_not_believed(web: Web, item: tuple[Item, Path]) -> None:
    web.answer = (200, b"<html>Please log in</html>")
    with pytest.raises(ArchiveAway, match="no DICOM JSON"):
        store(web.url, item)


def test_nobody_there_is_away(web: Web, item: tuple[Item, Path]) -> None:
    web.server.server_close()
    web.server.shutdown()
    with pytest.raises(ArchiveAway, match="does not answer"):
        store(web.url, item)
