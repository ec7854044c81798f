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
from xemplar_app.connection import connections, counted_as

from tests.agreement import PATIENCE
from tests.app.reading import serving
from xemplar.errors import ConfigurationError

HEAD_SECONDS, MOST = 0.3, 5
HOST = b"Host: localhost\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers each request, once its body has come."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        await PlainTextResponse("answered")(scope, receive, send)


@contextmanager
def limited(seconds: float, most: int, of_address: int = 0, trusted: str = "") -> Iterator[str]:
    """A service with such limits, and with trusted proxies."""
    http = connections(seconds, most, of_address)
    options = {"host": "127.0.0.1", "port": 0, "log_config": None, "timeout_keep_alive": 60}
    with serving(uvicorn.Config(app, http=http, forwarded_allow_ips=trusted, **options)) as url:
        yield url


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with limited(HEAD_SECONDS, MOST) as url:
        yield url


def connected(address: str, source: str = "127.0.0.1") -> socket.socket:
    host, port = urlsplit(address).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE, source_address=(source, 0))


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:  # what was sent had not been read
        return True


def said(address: str, sent: bytes, source: str = "127.0.0.1") -> bytes:
    """All that the service sends until it closes the connection."""
    with connected(address, source) as client:
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
    with httpx2.Client(base_url=address, timeout=PATIENCE) as client:
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
        assert httpx2.get(url, timeout=PATIENCE).text == "answered"
        assert is_closed(silent[0])  # the one that waited longest


def test_one_whose_body_still_comes_is_not_closed_for_another() -> None:
    with limited(600.0, MOST) as url, connected(url) as sending, ExitStack() as stack:
        sending.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n1")
        assert httpx2.get(url, timeout=PATIENCE).text == "answered"  # by now its head was read
        silent = [stack.enter_context(connected(url)) for _ in range(3 * MOST)]
        assert is_closed(silent[0])
        sending.sendall(b"2")
        assert sending.recv(65536).startswith(b"HTTP/1.1 200 ")


# ---- of one address -----------------------------------------------------------------------------

EAGER, READER = "127.0.0.2", "127.0.0.3"
GET = b"GET / HTTP/1.1\r\n" + HOST


def is_answered(client: socket.socket) -> bool:
    client.sendall(GET + b"\r\n")
    return client.recv(65536).startswith(b"HTTP/1.1 200 ")


def stall(client: socket.socket) -> None:
    """Send a head whose body does not come; returns once the head was read."""
    client.sendall(b"POST / HTTP/1.1\r\n" + HOST)
    client.sendall(b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert client.recv(65536).startswith(b"HTTP/1.1 100 ")


def test_one_address_cannot_take_all_connections() -> None:
    """Not even with requests whose bodies stand still, which are never closed for others."""
    with limited(600.0, MOST, of_address=2) as url, ExitStack() as stack:
        for _ in range(2):
            stall(stack.enter_context(connected(url, EAGER)))
        for _ in range(MOST):
            assert is_closed(stack.enter_context(connected(url, EAGER)))
        readers = [stack.enter_context(connected(url, READER)) for _ in range(2)]
        assert all(is_answered(reader) for reader in readers)


def test_of_one_address_too_the_connection_is_closed_that_waits_longest() -> None:
    with limited(600.0, MOST, of_address=2) as url, ExitStack() as stack:
        first, second, third = (stack.enter_context(connected(url, EAGER)) for _ in range(3))
        assert is_closed(first)
        assert is_answered(second)
        assert is_answered(third)


def test_what_an_address_has_closed_counts_no_more() -> None:
    with limited(600.0, MOST, of_address=2) as url, connected(url, EAGER) as first:
        for _ in range(MOST):
            assert b"answered" in said(url, GET + b"Connection: close\r\n\r\n", EAGER)
        assert is_answered(first)


def test_all_may_come_through_a_trusted_proxy() -> None:
    with limited(600.0, 100, of_address=2, trusted=EAGER) as url, ExitStack() as stack:
        proxied = [stack.enter_context(connected(url, EAGER)) for _ in range(20)]
        assert all(is_answered(one) for one in proxied)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(address: str, counted: str) -> None:
    assert counted_as(address) == counted


def test_more_connections_than_files_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"XEMPLAR_CONNECTIONS is .* files open"):
        connections(1.0, most=10**12)
