"""A result reaches the archive once, whatever the archive does in between."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from xemplar_pacs.metrics import NodeMetrics
from xemplar_pacs.outbox.archive import ArchiveAway, ObjectRefused, Store
from xemplar_pacs.outbox.backoff import Backoff
from xemplar_pacs.outbox.delivery import Delivery
from xemplar_pacs.outbox.outbox import Item, NewResult, Outbox, image_digest


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeArchive:
    """Takes objects; `says` may raise for one, `away` for all."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.away = False
        self.refuses: dict[bytes, Exception] = {}
        self.connections = 0

    @contextmanager
    def connected(self, sop_classes: frozenset[str]) -> Iterator[Store]:
        self.connections += 1
        if self.away:
            raise ArchiveAway("the archive does not answer")

        def store(item: Item, path: Path) -> None:
            data = path.read_bytes()
            if data in self.refuses:
                raise self.refuses[data]
            self.taken.append(data)

        yield store


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    box = Outbox.open(tmp_path)
    for n in range(3):
        data = b"image %d" % n
        box.keep(data, image_digest(data), "1.2", "ask")
        result = NewResult("structured report", "1.2.3", f"2.25.{n + 1}", b"report %d" % n)
        box.answered(box.waiting("ask")[0], [result], None)
    return box


@pytest.fixture
def time() -> Time:
    return Time()


def delivery(outbox: Outbox, archive: FakeArchive, time: Time, tries: int = 3) -> Delivery:
    def backoff(ceiling: float) -> Backoff:
        return Backoff(ceiling, first=1, now=time, chance=lambda: 0.0)

    metrics = NodeMetrics(outbox)
    return Delivery(outbox, archive, metrics, tries=tries, ceiling=100, backoff=backoff)


REPORTS = [b"report 0", b"report 1", b"report 2"]


def test_everything_goes_in_one_association(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    assert delivery(outbox, archive, time).deliver() == 3
    assert (archive.taken, archive.connections) == (REPORTS, 1)
    assert outbox.all() == []


def test_nothing_is_connected_to_for_nothing(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    one = delivery(outbox, archive, time)
    one.deliver()
    assert one.deliver() == 0
    assert archive.connections == 1


def test_while_the_archive_is_away_nothing_is_counted_or_held(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    archive.away = True
    one = delivery(outbox, archive, time)
    for _ in range(50):
        assert one.deliver() == 0
        time.now += 1000
    assert archive.connections == 50
    assert {(item.tries, item.held) for item in outbox.all()} == {(0, False)}
    assert outbox.all()[0].reason == "the archive does not answer"
    archive.away = False
    assert one.deliver() == 3


def test_attempts_at_an_archive_that_is_away_become_rare(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    archive.away = True
    one = delivery(outbox, archive, time)
    for _ in range(1000):
        one.deliver()
        time.now += 1
    assert archive.connections < 20


def test_what_is_refused_is_held_in_the_end_and_others_pass_it(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    archive.refuses[b"report 0"] = ObjectRefused("status 0xA900")
    one = delivery(outbox, archive, time)
    one.deliver()
    assert archive.taken == REPORTS[1:]
    for _ in range(10):
        time.now += 1000
        one.deliver()
    (held,) = outbox.all()
    assert (held.held, held.tries, held.reason) == (True, 3, "status 0xA900")


def test_a_refused_object_waits_longer_each_time(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    archive.refuses = {data: ObjectRefused("no") for data in REPORTS}
    one = delivery(outbox, archive, time, tries=100)
    for _ in range(64):
        one.deliver()
        time.now += 1
    assert {item.tries for item in outbox.all()} == {7}


def test_a_retry_is_tried_at_once_though_all_waits_are_long(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    archive.refuses = {data: ObjectRefused("no") for data in REPORTS}
    one = delivery(outbox, archive, time, tries=1)
    one.deliver()
    archive.refuses.clear()
    assert one.deliver() == 0
    outbox.retry()
    assert one.deliver() == 3


def test_a_retry_ends_the_wait_for_an_archive_that_was_away(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    archive.away = True
    one = delivery(outbox, archive, time)
    one.deliver()
    archive.away = False
    assert one.deliver() == 0
    outbox.retry()
    assert one.deliver() == 3


def test_an_object_that_the_association_breaks_at_lets_others_pass(
    outbox: Outbox, time: Time
) -> None:
    archive = FakeArchive()
    archive.refuses[b"report 0"] = ArchiveAway("it closed the association")
    one = delivery(outbox, archive, time)
    for _ in range(5):
        one.deliver()
        time.now += 1
    assert sorted(set(archive.taken)) == REPORTS[1:]
    (left,) = outbox.all()
    assert not left.held


def test_a_restart_sends_what_was_on_its_way(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    waiting = outbox.waiting("send")[0]
    archive.taken.append(outbox.path(waiting).read_bytes())  # it came, and we were killed
    delivery(Outbox.open(outbox.folder), archive, time).deliver()
    assert archive.taken == [b"report 0", *REPORTS]  # the same bytes again


def test_a_result_whose_file_is_gone_is_held(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    outbox.path(outbox.waiting("send")[1]).unlink()
    one = delivery(outbox, archive, time, tries=2)
    for _ in range(3):
        one.deliver()
        time.now += 1000
    (held,) = outbox.all()
    assert (held.held, held.reason) == (True, "its file is gone")
    assert archive.taken == [b"report 0", b"report 2"]


def test_a_dropped_result_is_not_sent(outbox: Outbox, time: Time) -> None:
    archive = FakeArchive()
    archive.refuses[b"report 1"] = ObjectRefused("no")
    one = delivery(outbox, archive, time)
    one.deliver()
    outbox.drop([outbox.all()[0].id])
    time.now += 1000
    assert one.deliver() == 0
    assert archive.taken == [b"report 0", b"report 2"]
