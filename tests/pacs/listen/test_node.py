"""The node as a whole: it starts or says why not, stops in order, and no error ends its threads."""

import socket
from pathlib import Path
from threading import Event

import pytest
from xemplar_pacs.listen.node import Loop
from xemplar_pacs.listen.receiver import OUT_OF_RESOURCES
from xemplar_pacs.outbox.outbox import Outbox

from tests.agreement import PATIENCE, wait_until
from tests.images import drawn_image
from tests.pacs.films import film
from tests.pacs.listen.conftest import started
from tests.pacs.peers import Archive, send
from tests.system.disk import NoDisk, small_disk
from xemplar.errors import ConfigurationError, StorageFull
from xemplar.retrieval.retriever import Retriever


@pytest.mark.parametrize("setting", ["port", "metrics_port"])
def test_a_port_that_is_taken_is_named(folder: Path, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        named = rf"127.0.0.1:{port} cannot be listened on .*XEMPLAR_PACS_{setting.upper()}"
        with pytest.raises(ConfigurationError, match=named), started(folder, **{setting: port}):
            pass
    with started(folder):  # the folder is free again
        pass


def test_no_second_node_runs_on_its_folder(folder: Path) -> None:
    with (
        started(folder),
        pytest.raises(ConfigurationError, match="another node runs on"),
        started(folder),
    ):
        pass


def test_a_loop_survives_every_error_and_says_each_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised = [StorageFull("no room"), StorageFull("no room"), KeyError("PLANTED")]
    over = Event()

    def task() -> bool:
        if raised:
            raise raised.pop(0)
        over.set()
        return False

    loop = Loop("task", task, seconds=0.01)
    loop.start()
    assert over.wait(PATIENCE)
    loop.stop()
    loop.join(60)
    assert caplog.text.count("no room") == 1
    assert "KeyError in task" in caplog.text
    assert "PLANTED" not in caplog.text


def test_a_woken_loop_does_not_wait(folder: Path) -> None:
    ran, looked = Event(), Event()

    def task() -> bool:
        (ran if looked.is_set() else looked).set()
        return False

    loop = Loop("task", task, seconds=3600)
    loop.start()
    assert looked.wait(PATIENCE)
    loop.wake()
    assert ran.wait(PATIENCE)
    loop.stop()
    loop.join(60)


@pytest.mark.system
@pytest.mark.long
def test_a_disk_that_is_full_loses_nothing_that_was_acknowledged(
    retriever: Retriever, archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    kept, floor = 0, 6 * 2**20
    try:
        with small_disk(14) as disk:
            folder = disk.root / "node"
            with started(folder, archive=archive.url, free_bytes=floor) as node:
                port = node.server.port
                while send(port, image(kept)) == [0]:
                    kept += 1
                assert kept > 5
                disk.fill()  # by another program
                assert send(port, image(kept)) == [OUT_OF_RESOURCES]
                node.answer(retriever)
                wait_until(lambda: "waits: no room" in caplog.text)
                outbox = Outbox.open(folder)  # it can be looked at all the same
                assert outbox.counts() == {("image", False): kept}
                disk.free()
                archive.wait_for(2 * kept)
                wait_until(lambda: not outbox.all())
                outbox.close()
                assert send(port, image(kept)) == [0]
    except NoDisk as reason:
        pytest.skip(str(reason))


def image(n: int) -> bytes:
    return film(drawn_image(n, 800, 700), SOPInstanceUID=f"2.25.{n + 1}")
