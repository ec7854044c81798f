"""What waits is on disk before anybody is told so, and gone once it is done with."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from xemplar_pacs.outbox.outbox import Item, NewResult, Outbox, image_digest

from xemplar.errors import ConfigurationError, Mismatch, NotFound, StorageFull

IMAGE = b"an image"
DIGEST = image_digest(IMAGE)
CLASS = "1.2.840.10008.5.1.4.1.1.1"
REPORT = NewResult("structured report", "1.2.3", "2.25.1", b"a report")
PICTURE = NewResult("secondary capture", "1.2.4", "2.25.2", b"a picture")


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox.open(tmp_path / "node")


def kept(outbox: Outbox, stage: str = "ask") -> Item:
    assert outbox.keep(IMAGE, DIGEST, CLASS, stage)
    (item,) = outbox.waiting(stage)
    return item


def files(outbox: Outbox) -> list[bytes]:
    return sorted(path.read_bytes() for path in (outbox.folder / "spool").iterdir())


def reopened(outbox: Outbox) -> Outbox:
    outbox.close()
    return Outbox.open(outbox.folder)


def test_an_image_is_there_after_a_restart(outbox: Outbox) -> None:
    kept(outbox)
    again = reopened(outbox)
    (item,) = again.waiting("ask")
    assert (item.kind, item.sop_class, item.tries) == ("image", CLASS, 0)
    assert again.path(item).read_bytes() == IMAGE


def test_nobody_else_can_read_it(outbox: Outbox) -> None:
    kept(outbox)
    for path in outbox.folder.rglob("*"):
        assert oct(path.stat().st_mode)[-3:] == ("700" if path.is_dir() else "600")
    assert oct(outbox.folder.stat().st_mode)[-3:] == "700"


def test_a_folder_that_others_can_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    Outbox.open(tmp_path / "open")
    assert oct((tmp_path / "open").stat().st_mode)[-3:] == "700"


def test_a_repetition_is_not_kept_twice(outbox: Outbox) -> None:
    item = kept(outbox)
    assert not outbox.keep(IMAGE, DIGEST, CLASS, "ask")
    outbox.finish(item, "answered")
    assert not outbox.keep(IMAGE, DIGEST, CLASS, "ask")
    assert outbox.all() == []
    assert files(outbox) == []


def test_results_and_the_next_stage_come_at_once(outbox: Outbox) -> None:
    outbox.answered(kept(outbox), [PICTURE, REPORT], "index")
    assert [(one.kind, one.stage) for one in outbox.all()] == [
        ("image", "index"),
        ("secondary capture", "send"),
        ("structured report", "send"),
    ]
    assert files(outbox) == [b"a picture", b"a report", b"an image"]


def test_an_answered_image_is_deleted(outbox: Outbox) -> None:
    outbox.answered(kept(outbox), [REPORT], None)
    assert [one.kind for one in outbox.all()] == ["structured report"]
    assert files(outbox) == [b"a report"]
    assert outbox.outcomes() == {"answered": 1}


def test_a_result_that_waits_keeps_its_first_bytes(outbox: Outbox) -> None:
    outbox.answered(kept(outbox), [REPORT], "ask")
    (image,) = outbox.waiting("ask")
    outbox.answered(image, [replace(REPORT, data=b"made again")], None)
    (waiting,) = outbox.waiting("send")
    assert outbox.path(waiting).read_bytes() == b"a report"
    assert files(outbox) == [b"a report"]


def test_nothing_stays_of_what_was_delivered(outbox: Outbox) -> None:
    outbox.answered(kept(outbox), [REPORT], None)
    outbox.finish(outbox.waiting("send")[0], "delivered")
    assert outbox.all() == []
    assert files(outbox) == []
    assert outbox.outcomes() == {"answered": 1}


def test_a_full_disk_keeps_nothing(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        outbox.keep(IMAGE, DIGEST, CLASS, "ask")
    monkeypatch.undo()
    assert files(outbox) == []
    assert outbox.all() == []


def test_a_kill_between_file_and_row_leaves_nothing(outbox: Outbox) -> None:
    item = kept(outbox)
    (outbox.folder / "spool" / "0123.dcm").write_bytes(b"no row")
    (outbox.folder / "spool" / ".0123.dcm.77aa").write_bytes(b"half a fi")
    with outbox.running():
        assert files(outbox) == [IMAGE]
        assert outbox.path(item).exists()


def test_failures_are_counted_until_it_is_held(outbox: Outbox) -> None:
    item = kept(outbox)
    assert not outbox.fail(item, "why", most=2)
    (item,) = outbox.waiting("ask")
    assert (item.tries, item.reason, item.held) == (1, "why", False)
    assert outbox.fail(item, "again", most=2)
    assert outbox.waiting("ask") == []
    (held,) = outbox.all()
    assert (held.tries, held.reason, held.held) == (2, "again", True)
    assert outbox.counts() == {("image", True): 1}


def test_a_retry_begins_anew(outbox: Outbox) -> None:
    item = kept(outbox)
    outbox.fail(item, "why", most=1)
    assert outbox.retry([item.id]) == 1
    (again,) = outbox.waiting("ask")
    assert (again.tries, again.retries, again.reason) == (0, 1, "why")


def test_a_failure_of_before_a_retry_is_not_counted(outbox: Outbox) -> None:
    item = kept(outbox)
    outbox.retry()
    outbox.fail(item, "late", most=1)
    (waiting,) = outbox.waiting("ask")
    assert waiting.tries == 0


def test_a_dropped_item_is_gone_with_its_file(outbox: Outbox) -> None:
    item = kept(outbox)
    assert outbox.drop([item.id]) == 1
    assert (outbox.all(), files(outbox)) == ([], [])
    outbox.fail(item, "of before", most=1)
    outbox.finish(item, "of before")


@pytest.mark.parametrize("what", ["retry", "drop"])
def test_what_is_not_there_is_named(outbox: Outbox, what: str) -> None:
    item = kept(outbox)
    with pytest.raises(NotFound, match=r"nothing waits under 77;"):
        getattr(outbox, what)([item.id, 77])
    assert len(outbox.all()) == 1


def test_one_node_runs_on_a_folder(outbox: Outbox) -> None:
    with (
        outbox.running(),
        pytest.raises(ConfigurationError, match="another node runs on"),
        Outbox.open(outbox.folder).running(),
    ):
        pass
    with outbox.running():  # the lock goes with its holder
        pass


def test_commands_make_no_outbox(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no outbox in"):
        Outbox.open(tmp_path / "none", make=False)
    assert not (tmp_path / "none").exists()


def test_a_newer_outbox_is_refused(outbox: Outbox) -> None:
    with outbox._engine.connect() as connection:
        connection.execute(text("PRAGMA user_version = 99"))
        connection.commit()
    with pytest.raises(Mismatch, match="schema 99"):
        reopened(outbox)


@pytest.mark.parametrize("days", [31, -2])
def test_digests_are_forgotten_whichever_way_the_clock_jumped(outbox: Outbox, days: int) -> None:
    outbox.finish(kept(outbox), "answered")
    assert outbox.forget(30) == 0
    then = datetime.now(UTC) - timedelta(days=days)
    with outbox._engine.connect() as connection:
        connection.execute(text("UPDATE done SET at = :at"), {"at": f"{then:%Y-%m-%d %H:%M:%S.%f}"})
        connection.commit()
    assert outbox.forget(30) == 1
    assert outbox.keep(IMAGE, DIGEST, CLASS, "ask")


def test_nothing_is_remembered_for_no_days(outbox: Outbox) -> None:
    outbox.finish(kept(outbox), "answered")
    assert outbox.forget(0) == 1


def test_the_oldest_and_the_order_are_those_of_arrival(outbox: Outbox) -> None:
    for n in range(3):
        outbox.keep(b"%d" % n, image_digest(b"%d" % n), CLASS, "ask")
    waiting = outbox.waiting("ask", limit=2)
    assert [outbox.path(one).read_bytes() for one in waiting] == [b"0", b"1"]
    assert outbox.oldest() == waiting[0].since
