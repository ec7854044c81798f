"""An archive that takes results by C-STORE: the node is a service class user of storage."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.status import code_to_category

from ..address import ArchiveAddress
from ..conformance import OF_RESULTS
from ..results.discretion import quiet_network
from ..settings import NodeSettings
from ..tls import client_context
from .archive import DUPLICATE, ArchiveAway, ObjectRefused, Store
from .outbox import Item


class CStoreArchive:
    """The archive, one association for each batch of objects."""

    def __init__(self, settings: NodeSettings, address: ArchiveAddress) -> None:
        """Prepare the association.

        Raises:
            ConfigurationError: a certificate cannot be used.
        """
        quiet_network()
        # files go out as they lie there, and are not decoded
        _config.STORE_SEND_CHUNKED_DATASET = True
        self._address = address
        self._entity = AE(settings.title)
        self._entity.maximum_pdu_size = settings.pdu_bytes
        for wait in ("acse", "dimse", "network", "connection"):
            setattr(self._entity, f"{wait}_timeout", settings.stall_seconds)
        self._tls = (client_context(settings), address.host) if address.tls else None

    @contextmanager
    def connected(self, sop_classes: frozenset[str]) -> Iterator[Store]:
        """Open an association; see `archive.Archive.connected`."""
        self._entity.requested_contexts = []
        for sop_class in sorted(sop_classes):
            self._entity.add_requested_context(sop_class, list(OF_RESULTS[sop_class]))
        where = self._address
        association = self._entity.associate(
            where.host, where.port, ae_title=where.title, tls_args=self._tls
        )
        if not association.is_established:
            raise ArchiveAway(_why_not(association))
        # pynetdicom lets a write to an archive that no longer reads wait for ever
        connection: Any = association.dul.socket
        connection.socket.settimeout(self._entity.network_timeout)

        def store(item: Item, path: Path) -> None:
            _store(association, item, path)

        try:
            yield store
        finally:
            _end(association)


def _store(association: Any, item: Item, path: Path) -> None:
    if not association.is_established:
        raise ArchiveAway("the archive closed the association")
    accepted = {context.abstract_syntax for context in association.accepted_contexts}
    if item.sop_class not in accepted:
        raise ObjectRefused(f"the archive takes no {item.kind} (presentation context rejected)")
    answer: Any = association.send_c_store(path)
    if "Status" not in answer:
        raise ArchiveAway("the archive did not answer in time, or closed the association")
    status = int(answer.Status)
    if status != DUPLICATE and code_to_category(status) not in ("Success", "Warning"):
        raise ObjectRefused(f"the archive answered with status 0x{status:04X}")


def _end(association: Association) -> None:
    """Release an association, unless the archive has ended it."""
    if association.is_established:
        association.release()


def _why_not(association: Association) -> str:
    if association.is_rejected:
        answer: Any = association.acceptor.primitive
        return (
            f"the archive rejected the association (result {answer.result}, source "
            f"{answer.result_source}, reason {answer.diagnostic})"
        )
    if association.is_aborted and association.acceptor.primitive is not None:
        return "the archive aborted the association, or accepts nothing that is sent"
    return "the archive does not answer"
