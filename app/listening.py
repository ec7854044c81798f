"""Listening sockets, opened before anything slow starts so that a port in use is reported early."""

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from xemplar.errors import ConfigurationError

REASONS = {
    errno.EADDRINUSE: "another process listens there; stop it, or choose another port (--port)",
    errno.EACCES: "this user may not; choose a port from 1024 on (--port)",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose another one (--host)",
}


@contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Open sockets on all addresses of this machine that a host name resolves to.

    Args:
        host: name or address.
        port: 0 for any free port.

    Raises:
        ConfigurationError: there is no such address, or one cannot be opened.
    """
    with ExitStack() as stack:
        try:
            sockets = [stack.enter_context(one) for one in _listen(host, port)]
        except OSError as error:
            where = url(host, port)
            raise ConfigurationError(f"cannot listen on {where}: {_reason(error)}") from error
        yield sockets


def _listen(host: str, port: int) -> Iterator[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    missing, taken = None, 0
    for family, *_, address in dict.fromkeys(found):
        try:
            one = socket.create_server((address[0], port, *address[2:]), family=family)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            missing = error  # such as ::1 for localhost, where IPv6 is off
            continue
        port = one.getsockname()[1]  # all share the first one's port
        taken += 1
        yield one
    if missing is not None and not taken:
        raise missing


def url(host: str, port: int) -> str:
    """Build the URL of a host (IPv6 addresses in brackets) and a port."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def url_of(host: str, sockets: Sequence[socket.socket]) -> str:
    """Build the URL of the sockets that `listening` opened."""
    return url(host, sockets[0].getsockname()[1])


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "this name cannot be resolved; choose another one (--host)"
    return REASONS.get(error.errno or 0) or error.strerror or "the system refuses it"
