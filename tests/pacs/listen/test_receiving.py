"""The node takes images of peers that it knows, acknowledges what is on disk, and nothing else."""

import socket
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForProcessing,
    EncapsulatedPDFStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)
from xemplar_pacs.listen import receiver
from xemplar_pacs.listen.node import Node
from xemplar_pacs.outbox.outbox import Outbox

from tests.agreement import wait_until
from tests.images import drawn_image
from tests.pacs.films import INSTANCE, cr_film, film
from tests.pacs.listen.conftest import started
from tests.pacs.peers import SENT, associate, associated, send

IMAGE = drawn_image(50, 120, 100)


@pytest.fixture
def node(folder: Path) -> Iterator[Node]:
    with started(folder) as running:
        yield running


def metric(node: Node, name: str, **labels: str) -> float:
    return node.metrics.registry.get_sample_value(f"xemplar_pacs_{name}_total", labels) or 0.0


def test_answers_an_echo(node: Node) -> None:
    with associated(node.server.port) as association:
        assert association.send_c_echo().Status == 0


@pytest.mark.parametrize("make", [film, cr_film])
def test_acknowledges_what_is_on_disk(node: Node, outbox: Outbox, make: Any) -> None:
    data = make(IMAGE)
    assert send(node.server.port, data) == [0]
    (item,) = outbox.waiting("ask")
    assert dcmread(outbox.path(item)) == dcmread(BytesIO(data))


def test_keeps_a_study_of_thirty_images(node: Node, outbox: Outbox) -> None:
    study = [film(drawn_image(n), SOPInstanceUID=f"2.25.{n + 1}") for n in range(30)]
    assert send(node.server.port, *study) == [0] * 30
    assert len(outbox.waiting("ask", limit=100)) == 30


def test_acknowledges_a_repetition_and_keeps_it_once(node: Node, outbox: Outbox) -> None:
    assert send(node.server.port, film(IMAGE), film(IMAGE)) == [0, 0]
    assert send(node.server.port, film(IMAGE)) == [0]
    assert len(outbox.all()) == 1


def test_tells_its_first_stage(folder: Path, outbox: Outbox) -> None:
    with started(folder, do="index") as node:
        send(node.server.port, film(IMAGE))
        assert len(outbox.waiting("index")) == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Modality": "CT"}, receiver.MISMATCH),
        ({"StudyInstanceUID": None}, receiver.MISMATCH),
        ({"NumberOfFrames": 3}, receiver.MISMATCH),
        ({"Rows": 0}, receiver.NOT_UNDERSTOOD),
        ({"Columns": 60000, "Rows": 60000}, receiver.NOT_UNDERSTOOD),
        ({"Rows": 8, "Columns": 8}, receiver.NOT_UNDERSTOOD),
    ],
)
@pytest.mark.parametrize("make", [film, cr_film])
def test_refuses_what_holds_no_image(
    node: Node, outbox: Outbox, make: Any, fields: dict[str, Any], status: int
) -> None:
    assert send(node.server.port, make(IMAGE, **fields)) == [status]
    assert outbox.all() == []
    assert metric(node, "received", status=f"{status:04X}") == 1


@pytest.mark.parametrize("make", [film, cr_film])
def test_refuses_an_image_without_pixels(node: Node, outbox: Outbox, make: Any) -> None:
    image = dcmread(BytesIO(make(IMAGE)))
    del image.PixelData
    with associated(node.server.port) as association:
        assert association.send_c_store(image).Status == receiver.MISMATCH
    assert outbox.all() == []


def test_refuses_an_object_that_is_another_than_announced(
    node: Node, outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pynetdicom._config.STORE_SEND_CHUNKED_DATASET", True)
    file = tmp_path / "image.dcm"
    # the first is in the file's meta information, which the command is made of
    file.write_bytes(film(IMAGE).replace(INSTANCE.encode(), b"2.25.4", 1))
    with associated(node.server.port) as association:
        assert association.send_c_store(file).Status == receiver.MISMATCH
    assert outbox.all() == []


def test_takes_no_class_but_cr_and_dx(node: Node) -> None:
    others = (
        SecondaryCaptureImageStorage,
        DigitalXRayImageStorageForProcessing,
        CTImageStorage,
        EncapsulatedPDFStorage,
    )
    with associated(node.server.port, classes=(*SENT, *others)) as association:
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        assert not accepted & set(others)
        assert set(SENT) < accepted


def test_refuses_another_class_within_a_context_of_cr(node: Node, outbox: Outbox) -> None:
    image = dcmread(BytesIO(cr_film(IMAGE)))
    with associated(node.server.port) as association:
        (context,) = (
            one for one in association.accepted_contexts if one.abstract_syntax == SENT[0]
        )
        association._accepted_cx = {context.context_id: context}
        context.abstract_syntax = image.SOPClassUID = CTImageStorage
        assert association.send_c_store(image).Status == receiver.NO_SUCH_CLASS
    assert outbox.all() == []


def test_takes_compressed_images_as_they_are(
    node: Node, outbox: Outbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("pynetdicom._config.STORE_SEND_CHUNKED_DATASET", True)
    file = tmp_path / "image.dcm"
    image = dcmread(BytesIO(film(IMAGE)))
    image.compress(RLELossless)
    image.save_as(file)
    with associated(node.server.port, syntaxes=[RLELossless]) as association:
        assert association.send_c_store(file).Status == 0
    (item,) = outbox.waiting("ask")
    kept = dcmread(outbox.path(item))
    assert kept.file_meta.TransferSyntaxUID == RLELossless
    assert kept.PixelData == image.PixelData


def test_rejects_another_called_title(node: Node) -> None:
    association = associate(node.server.port, called="OTHER")
    assert association.is_rejected
    assert (association.acceptor.primitive.result, association.acceptor.primitive.diagnostic) == (
        1,
        7,
    )


def test_rejects_a_title_that_it_does_not_know(folder: Path) -> None:
    with started(folder, peers="ORTHANC@127.0.0.1") as node:
        association = associate(node.server.port, calling="STRANGER")
        assert association.is_rejected
        assert association.acceptor.primitive.diagnostic == 3
        assert metric(node, "associations", outcome="title") == 1
        assert send(node.server.port, film(IMAGE), calling="ORTHANC") == [0]


def test_closes_on_an_address_that_it_does_not_know(folder: Path) -> None:
    with started(folder, peers="ORTHANC@10.1.2.3") as node:
        with socket.create_connection(("127.0.0.1", node.server.port)) as connection:
            assert connection.recv(1) == b""
        assert metric(node, "associations", outcome="address") == 1


def test_rejects_associations_beyond_the_limit_for_now(folder: Path) -> None:
    with started(folder, associations=2) as node:
        with associated(node.server.port), associated(node.server.port):
            third = associate(node.server.port)
            assert third.is_rejected
            assert third.acceptor.primitive.result == 2  # transient
        wait_until(lambda: not node.server.active_associations)
        assert send(node.server.port, film(IMAGE)) == [0]


def test_survives_a_flood_of_connections_that_say_nothing(folder: Path) -> None:
    with started(folder, associations=2, stall_seconds=1) as node:
        open_ones = [socket.create_connection(("127.0.0.1", node.server.port)) for _ in range(40)]
        wait_until(lambda: metric(node, "associations", outcome="flood") >= 20)
        assert len(node.server.active_associations) <= 4
        wait_until(lambda: not node.server.active_associations)
        for one in open_ones:
            one.close()
        assert node.server._beginning == 0
        assert send(node.server.port, film(IMAGE)) == [0]


def half_a_store(port: int, data: bytes) -> socket.socket:
    """A peer that stops in the middle of a C-STORE, and of a PDU."""
    association = associate(port)
    connection = association.dul.socket.socket
    association.dul.socket._shutdown_socket = lambda: None  # stays open when pynetdicom gives up
    image = dcmread(BytesIO(data))
    sent = bytearray()
    association.dul.socket.send = sent.extend  # from here on, only written down
    association.dimse_timeout = 0.2
    association.send_c_store(image)
    connection.sendall(bytes(sent[:9000]))
    return connection  # type: ignore[no-any-return]


@pytest.mark.parametrize("leaves", [True, False])
def test_keeps_nothing_of_a_peer_that_stops_in_the_middle(
    folder: Path, outbox: Outbox, leaves: bool
) -> None:
    with started(folder, stall_seconds=1) as node:
        connection = half_a_store(node.server.port, film(IMAGE))
        if leaves:
            connection.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not node.server.active_associations)
        connection.close()
        assert outbox.all() == []
        assert list((folder / "spool").iterdir()) == []
        assert send(node.server.port, film(IMAGE)) == [0]


def test_aborts_an_object_that_is_too_large(folder: Path, outbox: Outbox) -> None:
    with started(folder, image_bytes=2**20) as node:
        large = film(drawn_image(1, 2000, 2000))
        with associated(node.server.port) as association:
            answer = association.send_c_store(dcmread(BytesIO(large)))
            assert "Status" not in answer
        assert outbox.all() == []
        small = film(drawn_image(2, 600, 600))
        assert send(node.server.port, *[small] * 10) == [0] * 10  # 3.6 MB, each small enough


def test_is_out_of_resources_without_room(folder: Path, outbox: Outbox) -> None:
    with started(folder, free_bytes=2**60) as node:
        assert send(node.server.port, film(IMAGE)) == [receiver.OUT_OF_RESOURCES]
    assert outbox.all() == []


def test_is_out_of_resources_where_the_disk_fails(
    node: Node, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        assert send(node.server.port, film(IMAGE)) == [receiver.OUT_OF_RESOURCES]
    assert outbox.all() == []
    assert send(node.server.port, film(IMAGE)) == [0]


def test_owes_a_peer_a_status_whatever_happens(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("PLANTED-4711")

    monkeypatch.setattr(receiver, "read_source", broken)
    assert send(node.server.port, film(IMAGE)) == [receiver.FAILURE]
    assert "KeyError in broken" in caplog.text
    assert "PLANTED" not in caplog.text


def test_an_error_comment_fits() -> None:
    assert all(len(comment) <= 64 for comment in receiver.COMMENTS.values())


def test_a_clock_that_jumps_changes_nothing(
    node: Node, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    for years in (-20, 20):
        monkeypatch.setattr(time, "time", lambda years=years: now() + years * 3e7)
        uid = f"2.25.{years + 50}"
        assert send(node.server.port, film(IMAGE, SOPInstanceUID=uid)) == [0]
    assert len(outbox.waiting("ask")) == 2
