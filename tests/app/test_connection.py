"""Connections whose request does not come, or stops within its head, keep nobody out."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import httpx2
import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from xemplar_app.connection import connections

from tests.app.reading import serving

HEAD_SECONDS, MOST = 0.3, 5
HOST = b"Host: localhost\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers each request, once its body has come."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await PlainTextResponse("answered")(scope, receive, send)


@contextmanager
def limited(seconds: float, most: int) -> Iterator[str]:
    """A service with such limits."""
    options = {"host": "127.0.0.1", "port": 0, "log_config": None, "timeout_keep_alive": 60}
    with serving(uvicorn.Config(app, http=connections(seconds, most), **options)) as url:
        yield url


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with limited(HEAD_SECONDS, MOST) as url:
        yield url


def connected(address: str) -> socket.socket:
    host, port = urlsplit(address).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:  # what was sent had not been read
        return True


def said(address: str, sent: bytes) -> bytes:
    """All that the service sends until it closes the connection."""
    with connected(address) as client:
        client.sendall(sent)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n" + HOST])
def test_a_head_that_does_not_come_closes_the_connection(address: str, sent: bytes) -> None:
    assert said(address, sent) == b""


@pytest.mark.parametrize("begin", [b"", b"GET / HT"])
def test_so_does_that_of_a_further_request(address: str, begin: bytes) -> None:
    answer = said(address, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n" + begin)
    assert answer.count(b"answered") == 1


def test_requests_that_come_in_time_share_a_connection(address: str) -> None:
    with httpx2.Client(base_url=address) as client:
        ports = {
            client.get("/").extensions["network_stream"].get_extra_info("client_addr")
            for _ in range(3)
        }
    assert len(ports) == 1


@pytest.mark.parametrize("begin", [b"", b"GET / HT"])
def test_more_of_them_than_there_may_be_keep_nobody_out(begin: bytes) -> None:
    with limited(600.0, MOST) as url, ExitStack() as stack:
        silent = [stack.enter_context(connected(url)) for _ in range(3 * MOST)]
        for one in silent:
            with suppress(ConnectionError):  # it is closed already
                one.sendall(begin)
        assert httpx2.get(url, timeout=30).text == "answered"
        assert is_closed(silent[0])  # the one that waited longest


def test_one_whose_body_still_comes_is_not_closed_for_another() -> None:
    with limited(600.0, MOST) as url, connected(url) as sending, ExitStack() as stack:
        sending.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n1")
        assert httpx2.get(url).text == "answered"  # by now its head was read
        silent = [stack.enter_context(connected(url)) for _ in range(3 * MOST)]
        assert is_closed(silent[0])
        sending.sendall(b"2")
        assert sending.recv(65536).startswith(b"HTTP/1.1 200 ")
