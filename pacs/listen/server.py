"""Associations that come in: who is let in, how many, how much and how long; TLS.

pynetdicom negotiates and speaks DIMSE. What it leaves open is closed here: a connection is refused
by its address before anything is read; connections are counted before they say who they are; a TLS
handshake waits in the connection's own thread; no read waits for ever, and an object has a largest
size.
"""

import errno
import logging
import socket
import ssl
from socketserver import TCPServer
from threading import Lock, Thread
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from ..conformance import ENCODINGS, OF_VERIFICATION, RECEIVED, VERIFICATION
from ..metrics import NodeMetrics
from ..results.discretion import quiet_network
from ..settings import NodeSettings
from ..tls import server_context
from .peers import Peers
from .receiver import Receiver

REJECTED_FOR_GOOD, BY_USER, CALLING_TITLE = 0x01, 0x01, 0x03
"""A-ASSOCIATE-RJ (PS3.8 9.3.4): calling AE title not recognised."""

COMMAND_BYTES = 2**20
"""Room of a message beside its object: its command set, and the heads of its PDUs."""

LOG = logging.getLogger("xemplar.pacs.server")


class _Metered:
    """Mixin of sockets that read no more than a number of bytes between two messages.

    Attributes:
        left: of these bytes.
    """

    left = COMMAND_BYTES

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read as a socket does; fail beyond the limit."""
        data: bytes = super().recv(size, flags)  # type: ignore[misc]
        self.left -= len(data)
        if self.left < 0:
            raise OSError(errno.EMSGSIZE, "the object is larger than the limit")
        return data


class MeteredSocket(_Metered, socket.socket):
    """A connection in the clear."""


class MeteredTLSSocket(_Metered, ssl.SSLSocket):  # type: ignore[misc]
    """A connection over TLS."""


class PeerServer(ThreadedAssociationServer):
    """Accepts connections of known addresses, and not too many, in threads of its own."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, settings: NodeSettings, receiver: Receiver, metrics: NodeMetrics, entity: AE
    ) -> None:
        """Listen; `start` answers.

        Raises:
            ConfigurationError: a TLS file cannot be used.
            OSError: the address cannot be listened on.
        """
        self.peers = Peers.parse(settings.peers)
        self.metrics = metrics
        self._settings = settings
        self._beginning = 0
        self._thread: Thread | None = None
        self._counting = Lock()
        context = server_context(settings)
        if context is not None:
            context.sslsocket_class = MeteredTLSSocket
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_REQUESTED, self._let_in),
            (evt.EVT_ACCEPTED, lambda _: metrics.association("accepted")),
            (evt.EVT_REJECTED, lambda _: metrics.association("rejected")),
            (evt.EVT_ABORTED, lambda _: metrics.association("aborted")),
            (evt.EVT_DIMSE_RECV, self._next_message),
            (evt.EVT_C_ECHO, lambda _: 0x0000),
            (evt.EVT_C_STORE, receiver.store),
        ]
        address = (settings.host, settings.port)
        contexts = entity.supported_contexts
        super().__init__(entity, address, settings.title, contexts, context, handlers)

    @property
    def port(self) -> int:
        """Port that it listens on."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Answer, in a thread."""
        self._thread = Thread(target=self.serve_forever, args=(0.1,), name="dicom", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no further association, and abort those that are open; nothing kept is lost."""
        if self._thread is not None:  # else shutdown would wait for ever
            TCPServer.shutdown(self)
        self.server_close()
        for association in self.active_associations:
            association.abort()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; a TLS handshake follows in the connection's own thread."""
        listening: Any = self.socket
        accepted, address = listening.accept()
        accepted.settimeout(self._settings.stall_seconds)
        metered: MeteredSocket | MeteredTLSSocket
        if self.ssl_context is None:
            metered = MeteredSocket(fileno=accepted.detach())
            metered.settimeout(self._settings.stall_seconds)
        else:
            metered = self.ssl_context.wrap_socket(  # type: ignore[assignment]
                accepted, server_side=True, do_handshake_on_connect=False
            )
        self._meter(metered)
        return metered, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Refuse unknown addresses, and connections beyond the limit (socketserver's hook)."""
        if not self.peers.knows_address(client_address[0]):
            self._refused("address", client_address[0])
            return False
        inside = len(self.active_associations) + self._beginning
        if inside >= 2 * self._settings.associations:
            self._refused("flood", client_address[0])
            return False
        self._count(1)
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands, then associate (socketserver's hook)."""
        try:
            if isinstance(request, ssl.SSLSocket) and not _shaken(request):
                self._refused("tls", client_address[0])
                self.shutdown_request(request)
                return
            super().process_request_thread(request, client_address)
        finally:
            self._count(-1)  # from here on it is an association

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log in one line (socketserver's hook, which prints a traceback)."""
        LOG.error("a connection from %s could not be served", client_address[0])

    def _count(self, more: int) -> None:
        """Count connections that are no association yet."""
        with self._counting:
            self._beginning += more

    def _let_in(self, event: Event) -> None:
        """Reject an AE title that does not come from its address."""
        association: Any = event.assoc
        title = association.requestor.primitive.calling_ae_title
        address = association.requestor.address
        if not self.peers.knows(title, address):
            self._refused("title", address)
            association.acse.send_reject(REJECTED_FOR_GOOD, BY_USER, CALLING_TITLE)
            association.kill()

    def _next_message(self, event: Event) -> None:
        """Grant the next message its bytes."""
        connected: Any = event.assoc.dul.socket
        self._meter(connected.socket)

    def _meter(self, connection: Any) -> None:
        if connection is not None:  # else the peer has gone
            connection.left = self._settings.image_bytes + COMMAND_BYTES

    def _refused(self, why: str, address: str) -> None:
        self.metrics.association(why)
        LOG.warning("a connection from %s was refused: %s", address, why)


def _shaken(request: ssl.SSLSocket) -> bool:
    """Shake hands; False if the peer does not, or has no certificate that is trusted."""
    try:
        request.do_handshake()
    except OSError:
        return False
    return True


def open_server(settings: NodeSettings, receiver: Receiver, metrics: NodeMetrics) -> PeerServer:
    """Listen for associations; see `PeerServer`.

    Args:
        settings: address, title, peers, limits, TLS.
        receiver: gets the objects.
        metrics: count associations.
    """
    quiet_network()
    _config.LOG_HANDLER_LEVEL = "none"
    entity = AE(settings.title)
    entity.require_called_aet = True
    entity.maximum_associations = settings.associations
    entity.maximum_pdu_size = settings.pdu_bytes
    for wait in ("acse", "dimse", "network"):
        setattr(entity, f"{wait}_timeout", settings.stall_seconds)
    entity.add_supported_context(VERIFICATION, list(OF_VERIFICATION))
    for sop_class in RECEIVED:
        entity.add_supported_context(sop_class, list(ENCODINGS))
    return PeerServer(settings, receiver, metrics, entity)
