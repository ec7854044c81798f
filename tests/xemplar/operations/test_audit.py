"""The audit trail: whole, in order, page by page, and forgotten when its time has come."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xemplar.catalog import Catalog, Description, Entry, case_id_of
from xemplar.catalog.schema import connect
from xemplar.operations.audit import Audit, AuditEntry

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def audit(migrated: str) -> Iterator[Audit]:
    engine = connect(migrated)
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
        count=7,
        details={"view": {"old": None, "new": "PA"}, "patient": "changed"},
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
    monkeypatch.setattr("xemplar.operations.audit.FORGOTTEN_AT_ONCE", at_once)
    audit.add([entry(1), entry(40), entry(31)])
    last = audit.entries()[0].id
    assert audit.forget(30) == 2
    assert [(NOW - e.at).days for e in audit.entries()] == [1]
    assert audit.forget(0) == 1
    audit.add([entry()])
    assert audit.entries()[0].id > last  # type: ignore[operator]


def test_entries_about_a_case_are_those_that_name_it_or_showed_it(audit: Audit) -> None:
    mine, other = "a" * 16, "b" * 16
    audit.add(
        [
            replace(entry(3), subject=mine),
            replace(entry(2), subject=other),
            replace(entry(1), results=(other, mine)),
            replace(entry(0), results=(other,)),
        ]
    )
    assert [(NOW - e.at).days for e in audit.entries(case=mine)] == [1, 3]


def test_cases_that_were_shown_are_told_by_key(audit: Audit) -> None:
    audit.add(
        [
            replace(entry(2, key="a"), results=("1",)),
            replace(entry(0, key="a"), results=("2", "3")),
            replace(entry(0, key="a"), results=("3", "4")),
            replace(entry(0, key="b"), results=("2",)),
            replace(entry(0), results=("5",)),
        ]
    )
    assert audit.shown(NOW - timedelta(days=1)) == {"a": {"2", "3", "4"}, "b": {"2"}}


def test_a_removed_image_leaves_no_digest_and_no_value_and_others_keep_theirs(
    catalog: Catalog,
) -> None:
    trail = Audit(catalog.engine)
    images = [image(1), image(2)]
    catalog.add("1" * 64, images)
    gone, stays = (case_id_of(one.image_sha256) for one in images)
    for one in images:
        digest, case = one.image_sha256, case_id_of(one.image_sha256)
        changed = {"age": {"old": 50, "new": 51}, "patient": "changed"}
        rated = {"rater": "ada", "ratings": {"old": 0, "new": 2}}
        trail.add(
            [
                replace(entry(action="query"), image_sha256=digest, subject="f" * 16),
                # the same image in another file
                replace(entry(action="put_case"), image_sha256="e" * 64, subject=case),
                replace(entry(action="change_case"), subject=case, details=changed),
                replace(entry(action="put_ratings"), subject=case, details=rated),
            ]
        )
    before = trail.entries()
    catalog.remove([gone])
    after = {one.id: one for one in trail.entries()}
    for one in before:
        if one.subject == stays or one.image_sha256 == images[1].image_sha256:
            assert after[one.id] == one
        else:
            left = {
                "change_case": {"age": "changed", "patient": "changed"},
                "put_ratings": {"rater": "ada", "ratings": "changed"},
            }
            assert after[one.id] == replace(
                one, image_sha256=None, details=left.get(one.action, one.details)
            )


def test_a_removal_that_fails_leaves_the_trail_as_it_was(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail, one = Audit(catalog.engine), image(1)
    catalog.add("1" * 64, [one])
    trail.add([replace(entry(), image_sha256=one.image_sha256)])

    def fail(_: object) -> NoReturn:
        raise KeyError

    monkeypatch.setattr("xemplar.catalog.catalog.next_change", fail)
    with pytest.raises(KeyError):
        catalog.remove([case_id_of(one.image_sha256)])
    assert [e.image_sha256 for e in trail.entries()] == [one.image_sha256]


def image(number: int) -> Entry:
    return Entry(
        image_sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        description=Description(source="set"),
        height=96,
        width=80,
        vector=np.float32([1, 0]),
        logits=np.zeros(2, np.float32),
        cams=np.zeros((2, 2, 2)),
    )
