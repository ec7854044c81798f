"""Bodies that stand still, sent through sockets: nobody else waits, and they are let go of."""

import gc
import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from xemplar_app.settings import ServiceSettings

from tests.agreement import PATIENCE
from tests.app.asking import ask, bearer, problem
from tests.app.conftest import MAX_BYTES
from tests.app.reading import served
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from xemplar.operations.keys import Keys, Role
from xemplar.retrieval.retriever import Retriever

IMAGE = encoded(drawn_image(60, 300, 200))
PLACES = 2


@pytest.fixture
def address(
    settings: ServiceSettings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch, request: Any
) -> Iterator[str]:
    """Of a service; a test's parameter is the seconds that a body may stand still."""
    monkeypatch.setattr(retriever, "close", lambda: None)  # other tests go on with it
    monkeypatch.setattr("xemplar_app.body.LINGER_SECONDS", 0.01)
    changes = {"images_at_once": PLACES, "stall_seconds": getattr(request, "param", 600.0)}
    with served(settings.model_copy(update=changes), retriever) as url:
        yield url


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def begun(url: str, method: str, path: str, kind: str, begin: bytes, size: int) -> socket.socket:
    """A request that sends the first bytes of its body, and then nothing."""
    host, port = urlsplit(url).netloc.split(":")
    client = socket.create_connection((host, int(port)), timeout=PATIENCE)
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n"
    client.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode() + begin)
    return client


def begun_image(url: str, sent: int = 1000) -> socket.socket:
    """An image of which so many bytes come."""
    head = b'--X\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    kind = "multipart/form-data; boundary=X"
    return begun(url, "POST", "/query", kind, head + bytes(sent), MAX_BYTES)


def answer_of(client: socket.socket) -> httpx2.Response:
    """All that the service sends until it closes the connection."""
    said = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = said.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    pairs = [tuple(line.split(": ", 1)) for line in headers]
    return httpx2.Response(int(status.split()[1]), headers=pairs, content=body)


def large_pieces() -> int:
    """Buffers of more than a megabyte that anything refers to."""
    buffers = (one for one in gc.get_objects() if type(one) is io.BytesIO and not one.closed)
    return sum(one.getbuffer().nbytes > 2**20 for one in buffers)


def test_images_that_stand_still_keep_nobody_out(address: str, stack: ExitStack) -> None:
    for _ in range(4 * PLACES):
        stack.enter_context(begun_image(address))
    with httpx2.Client(base_url=address, timeout=PATIENCE) as client:
        answer = ask(client, IMAGE, k=1)
        rated = {"ratings": [{"case_id": answer["neighbours"][0]["case_id"], "rating": 3}]}
        path = f"/ratings/{sha256(IMAGE).hexdigest()[:16]}/a"
        assert client.put(path, json=rated).status_code == 204
        assert "xemplar_images_inside 0.0" in client.get("/metrics").text


def test_work_without_images_needs_no_place(address: str, stack: ExitStack) -> None:
    for _ in range(4 * PLACES):
        stack.enter_context(begun(address, "POST", "/keys", "application/json", b"{", 100))
    with httpx2.Client(base_url=address, timeout=PATIENCE) as client:
        ask(client, IMAGE)


@pytest.mark.parametrize("address", [0.2], indirect=True)
@pytest.mark.parametrize("sent", [0, 2_500_000])
def test_an_image_that_stands_still_is_answered_and_let_go_of(
    address: str, stack: ExitStack, sent: int
) -> None:
    before = large_pieces()
    client = stack.enter_context(begun_image(address, sent))
    detail = problem(answer_of(client), 408, "BodyTooSlow")
    assert "for 0.2 seconds, which is the limit; send it again" in detail
    assert large_pieces() == before


@pytest.mark.parametrize("address", [0.2], indirect=True)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/ratings/0000000000000000/a"),
        ("PATCH", "/cases/0000000000000000"),
        ("POST", "/keys"),
        ("POST", "/jobs/reindex"),
    ],
)
def test_json_that_stands_still_is_answered(
    address: str, stack: ExitStack, method: str, path: str
) -> None:
    client = stack.enter_context(begun(address, method, path, "application/json", b"{", 100))
    problem(answer_of(client), 408, "BodyTooSlow")


def test_large_json_is_refused_before_any_of_it_is_taken(address: str, stack: ExitStack) -> None:
    client = stack.enter_context(begun(address, "POST", "/keys", "application/json", b"", 300_000))
    detail = problem(answer_of(client), 413, "BodyTooLarge")
    assert "262,144 bytes" in detail


def test_a_large_body_of_another_type_is_refused_before_any_of_it_is_taken(
    address: str, stack: ExitStack
) -> None:
    client = stack.enter_context(begun(address, "POST", "/keys", "multipart/form-data", b"", 10**6))
    problem(answer_of(client), 415, "UnsupportedMediaType")


@pytest.fixture
def locked(
    settings: ServiceSettings,
    retriever: Retriever,
    keys: Keys,
    own: SmallStore,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[str, str]]:
    """Address of a service that asks for a key, and the secret of a reader's."""
    monkeypatch.setattr(retriever, "close", lambda: None)  # other tests go on with it
    monkeypatch.setattr("xemplar_app.body.LINGER_SECONDS", 0.01)
    _, secret = keys.create("one", Role.READER)
    changes = {"database_url": own.store.database_url, "bodies_of_caller": PLACES}
    with served(settings.model_copy(update=changes), retriever) as url:
        yield url, secret


JSON, FORM = "application/json", "multipart/form-data; boundary=X"


@pytest.mark.parametrize("kind", [JSON, FORM, "text/plain"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/query"),
        ("POST", "/query/batch"),
        ("POST", "/cases"),
        ("PATCH", f"/cases/{'0' * 16}"),
        ("PUT", f"/ratings/{'0' * 16}/a"),
        ("POST", "/jobs/reindex"),
        ("POST", "/keys"),
    ],
)
def test_who_may_not_ask_is_told_before_anything_of_a_body_is_read(
    locked: tuple[str, str], stack: ExitStack, method: str, path: str, kind: str
) -> None:
    for size in (100, 60_000_000):
        client = stack.enter_context(begun(locked[0], method, path, kind, b"[", size))
        answer = answer_of(client)
        problem(answer, 401, "Unauthorized")
        assert answer.headers["connection"] == "close"


def test_one_key_sends_so_many_bodies_at_once_and_others_are_not_kept_out(
    locked: tuple[str, str], keys: Keys, stack: ExitStack
) -> None:
    url, secret = locked
    _, other = keys.create("two", Role.READER)
    head = f"application/json\r\nX-API-Key: {secret}"
    for _ in range(PLACES):
        stack.enter_context(begun(url, "PUT", f"/ratings/{'0' * 16}/a", head, b"{", 100))
    with httpx2.Client(base_url=url, timeout=PATIENCE) as client:

        def sent(key: str) -> httpx2.Response:
            return client.post("/query", content=pieces(), headers=bearer(key) | form)

        form = {"Content-Type": "multipart/form-data; boundary=X"}
        begin = b'--X\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'

        def pieces() -> Iterator[bytes]:
            yield begin + IMAGE[:1000]
            yield IMAGE[1000:] + b"\r\n--X--\r\n"

        answer = until(lambda: sent(secret), 429)
        assert f"{PLACES} bodies of this key" in problem(answer, 429, "TooManyBodies")
        assert answer.headers["retry-after"]
        assert sent(other).status_code == 200


def until(ask: Callable[[], httpx2.Response], status: int) -> httpx2.Response:
    """Ask until that is the answer: what was sent before is noticed a moment later."""
    deadline = time.monotonic() + PATIENCE
    while (answer := ask()).status_code != status:
        assert time.monotonic() < deadline, answer.text
    return answer
