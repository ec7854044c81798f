"""The audit trail: whole, in order, page by page, and forgotten when its time has come."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xemplar.catalog import migrate
from xemplar.catalog.audit import Audit, AuditEntry
from xemplar.catalog.schema import connect

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def audit(url: str) -> Iterator[Audit]:
    migrate(url)
    engine = connect(url)
    yield Audit(engine)
    engine.dispose()


def entry(days_ago: float = 0, action: str = "query", key: str | None = None) -> AuditEntry:
    at = NOW - timedelta(days=days_ago)
    return AuditEntry(at=at, request_id="r", action=action, status=200, key=key)


def test_an_entry_comes_back_as_it_was_kept(audit: Audit) -> None:
    kept = AuditEntry(
        at=NOW,
        request_id="x" * 64,
        key="a" * 16,
        role="reader",
        action="query",
        status=200,
        subject="b" * 16,
        image_sha256="c" * 64,
        generation="20260101-x",
        results=("d" * 16, "e" * 16),
    )
    audit.add([kept])
    (found,) = audit.entries()
    assert found.id is not None
    assert {**vars(found), "id": None} == vars(kept)


def test_entries_are_found_by_time_key_and_action(audit: Audit) -> None:
    audit.add([entry(3, "case", "a"), entry(2, "query", "b"), entry(1, "query", "a")])
    day = timedelta(days=1)

    def ages(**asked: object) -> list[int]:
        return [(NOW - e.at).days for e in audit.entries(**asked)]  # type: ignore[arg-type]

    assert ages() == [1, 2, 3]
    assert ages(since=NOW - 2 * day) == [1, 2]
    assert ages(until=NOW - 2 * day) == [3]
    assert ages(key="a") == [1, 3]
    assert ages(action="query") == [1, 2]
    assert ages(action="query", key="b", since=NOW - 3 * day) == [2]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 8))
def test_pages_give_each_entry_once(audit: Audit, limit: int) -> None:
    if not audit.entries():
        audit.add([entry() for _ in range(7)])
    read, before = [], None
    while page := audit.entries(before=before, limit=limit):
        read += [one.id for one in page]
        before = read[-1]
    assert len(read) == 7
    assert read == sorted(set(read), reverse=True)  # type: ignore[type-var]


@pytest.mark.parametrize("at_once", [1, 2, 10])
def test_what_is_too_old_is_forgotten_and_its_number_never_comes_again(
    audit: Audit, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("xemplar.catalog.audit.FORGOTTEN_AT_ONCE", at_once)
    audit.add([entry(1), entry(40), entry(31)])
    last = audit.entries()[0].id
    assert audit.forget(30) == 2
    assert [(NOW - e.at).days for e in audit.entries()] == [1]
    assert audit.forget(0) == 1
    audit.add([entry()])
    assert audit.entries()[0].id > last  # type: ignore[operator]
