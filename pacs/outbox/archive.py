"""The archive as `delivery` sees it, by C-STORE (`c_store`) or STOW-RS (`stow`)."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeAlias

from ..settings import NodeSettings
from .outbox import Item

DUPLICATE = 0x0111
"""Status of an object that the archive has already (PS3.7 C.5.8): it is where it should be."""


class ArchiveAway(Exception):
    """The archive cannot be reached, or does not answer; no object is to blame."""


class ObjectRefused(Exception):
    """The archive refused this object; others may be taken."""


Store: TypeAlias = Callable[[Item, Path], None]
"""Stores an item's file; it is in the archive when this returns.

Raises:
    ArchiveAway: whether it is there is unknown.
    ObjectRefused: it is not.
"""


class ObjectArchive(Protocol):
    """Takes objects."""

    def connected(self, sop_classes: frozenset[str]) -> AbstractContextManager[Store]:
        """Connect for objects of these classes.

        Raises:
            ArchiveAway: it does not let us in.
        """
        ...


def open_archive(settings: NodeSettings) -> ObjectArchive:
    """Return the archive that the settings name; nothing is sent yet.

    Raises:
        ConfigurationError: none is named, or a file that its address names cannot be used.
    """
    address = settings.archive_address
    if address.kind == "dicom":
        from .c_store import CStoreArchive

        return CStoreArchive(settings, address)
    from .stow import StowArchive

    return StowArchive(settings, address)
