"""Results go out by C-STORE: the same bytes, and what each answer means."""

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from xemplar_pacs.outbox.archive import ArchiveAway, ObjectRefused, open_archive
from xemplar_pacs.outbox.outbox import Item, NewResult, Outbox, image_digest
from xemplar_pacs.settings import NodeSettings

from tests.agreement import PATIENCE
from tests.images import dicom, drawn_image
from tests.pacs.conftest import Asked
from tests.pacs.peers import Archive


@pytest.fixture
def archive() -> Iterator[Archive]:
    with Archive() as started:
        yield started


@pytest.fixture
def items(asked: Asked, tmp_path: Path) -> list[tuple[Item, Path]]:
    outbox = Outbox.open(tmp_path)
    outbox.keep(b"i", image_digest(b"i"), "1.2", "ask")
    made = [NewResult(o.kind, o.sop_class, o.uid, o.data) for o in asked.results()]
    outbox.answered(outbox.waiting("ask")[0], made, None)
    return [(item, outbox.path(item)) for item in outbox.waiting("send")]


def data_set(file: bytes) -> bytes:
    """A file's bytes without its meta information, whose first element tells its length."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


def store(items: list[tuple[Item, Path]], url: str, stall_seconds: float = 20) -> None:
    archive = open_archive(NodeSettings(archive=url, stall_seconds=stall_seconds))
    with archive.connected(frozenset(item.sop_class for item, _ in items)) as send:
        for item, path in items:
            send(item, path)


def store_each(items: list[tuple[Item, Path]], url: str) -> None:
    """Store each in an association of its own.

    On a busy machine pynetdicom may lose the answer to a second object of an association (its
    issue 875); the outbox sends such an object again, and these tests have none.
    """
    for item in items:
        store([item], url, stall_seconds=PATIENCE)


def test_the_archive_gets_the_data_sets_byte_for_byte(
    archive: Archive, items: list[tuple[Item, Path]]
) -> None:
    for _ in range(2):
        store_each(items, archive.url)
    for item, path in items:
        first, second = archive.stored[item.uid]
        assert first == second
        assert data_set(first) == data_set(path.read_bytes())


@pytest.mark.parametrize("status", [0x0000, 0x0111, 0xB000, 0xB006, 0xB007])
def test_success_warning_and_duplicate_are_delivered(
    archive: Archive, items: list[tuple[Item, Path]], status: int
) -> None:
    archive.status = status
    store_each(items, archive.url)


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC000, 0x0122, 0x0124])
def test_other_statuses_are_refusals(
    archive: Archive, items: list[tuple[Item, Path]], status: int
) -> None:
    archive.status = status
    with pytest.raises(ObjectRefused, match=f"status 0x{status:04X}"):
        store(items, archive.url)


def test_another_title_is_told(archive: Archive, items: list[tuple[Item, Path]]) -> None:
    with pytest.raises(ArchiveAway, match=r"rejected the association .*reason 7"):
        store(items, archive.url.replace("ARCHIVE", "OTHER"))


def test_nobody_there_is_away(archive: Archive, items: list[tuple[Item, Path]]) -> None:
    archive.stop()
    with pytest.raises(ArchiveAway):
        store(items, archive.url)


def test_a_half_open_connection_is_away(items: list[tuple[Item, Path]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"dicom://ARCHIVE@127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ArchiveAway):
            store(items, url, stall_seconds=0.5)


def test_an_archive_that_stops_reading_is_away(
    items: list[tuple[Item, Path]], tmp_path: Path
) -> None:
    picture = next(item for item, _ in items if item.kind == "secondary capture")
    file = tmp_path / "large.dcm"
    large = drawn_image(1, 6000, 6000)  # more than two sockets hold
    file.write_bytes(dicom(large, SOPClassUID=picture.sop_class))
    deaf = Event()
    with Archive() as archive:
        archive.pause = deaf
        try:
            with pytest.raises(ArchiveAway, match="did not answer in time"):
                store([(picture, file)], archive.url, stall_seconds=1)
        finally:
            deaf.set()


def test_an_archive_that_aborts_in_the_middle_is_away(
    archive: Archive, items: list[tuple[Item, Path]]
) -> None:
    def leave(event: object) -> int:
        event.assoc.abort()  # type: ignore[attr-defined]
        return 0

    archive.status = leave
    with pytest.raises(ArchiveAway, match="did not answer in time, or closed"):
        store(items, archive.url)
