"""Connections: so many at once, in all and of one address, and headers that come in time."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from xemplar_app.connections import server_config
from xemplar_app.main import create_app
from xemplar_app.settings import Settings

from tests.app.reading import serving
from xemplar.retriever import Retriever

Served = Callable[..., AbstractContextManager[tuple[str, int]]]


@pytest.fixture
def bounded(settings: Settings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch) -> Served:
    """Serves as `xemplar serve` does; keyword arguments are settings."""
    monkeypatch.setattr(retriever, "close", lambda: None)  # other tests go on with it
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.0/24")

    @contextmanager
    def opened(**changes: object) -> Iterator[tuple[str, int]]:
        changed = settings.model_copy(update=changes)
        config = server_config(create_app(changed, retriever), changed)
        config.port = 0
        with serving(config) as url:
            host, port = urlsplit(url).netloc.split(":")
            yield host, int(port)

    return opened


def connected(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=60)


def told(client: socket.socket) -> bytes:
    """All that comes until the connection is closed."""
    try:
        return b"".join(iter(lambda: client.recv(65536), b""))
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("begin", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_headers_that_do_not_come_are_not_waited_for(bounded: Served, begin: bytes) -> None:
    with bounded(headers_seconds=0.1) as address, connected(address) as client:
        client.sendall(begin)
        assert told(client) == b""


def test_headers_that_come_byte_by_byte_have_no_more_time(bounded: Served) -> None:
    with bounded(headers_seconds=0.2) as address, connected(address) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        client.settimeout(0.01)
        for _ in range(10_000):
            try:
                client.sendall(b"a")
                if client.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
        pytest.fail("the connection is still open")


def test_the_second_request_of_a_connection_has_as_much_time(bounded: Served) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with bounded(headers_seconds=0.2) as address, connected(address) as client:
        client.sendall(request)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        client.sendall(request[:-2])
        assert b"HTTP/1.1" not in told(client)


@pytest.mark.parametrize("limit", ["connections", "connections_of_address"])
def test_one_connection_too_many_is_told_and_closed(bounded: Served, limit: str) -> None:
    with bounded(**{limit: 2}) as address, ExitStack() as stack:
        url = f"http://{address[0]}:{address[1]}/healthz"
        held = [stack.enter_context(connected(address)) for _ in range(2)]
        with connected(address) as client:
            assert told(client).startswith(b"HTTP/1.1 503")
        held[0].close()
        with httpx.Client(transport=httpx.HTTPTransport(retries=0)) as asked:
            while asked.get(url).status_code == 503:
                pass
            assert asked.get(url).status_code == 200


def test_a_reverse_proxy_is_not_one_address(
    bounded: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.0/8")
    with bounded(connections_of_address=1) as address, ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(connected(address))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
