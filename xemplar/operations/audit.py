"""The audit trail: who asked what, when, and what was answered. No image, no name, no address."""

import operator
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    String,
    cast,
    delete,
    insert,
    or_,
    select,
)
from sqlalchemy.orm import Session

from xemplar.catalog.removal import CHANGED
from xemplar.catalog.schema import connect, reading, writing
from xemplar.catalog.tables import AuditRow

MAX_ENTRIES = 1000
"""At most so many entries are given at once."""

FORGOTTEN_AT_ONCE = 10_000
"""Entries that one transaction deletes: others wait for it meanwhile."""


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One event, or several of one kind.

    Attributes:
        at: when it was answered, UTC; the first of several.
        request_id: as in the log and in the answer's X-Request-ID; "" on the command line.
        key: id of the API key; None where none was given, or none was right.
        role: of the key; None where the request was not known to be anybody's.
        action: operation id, as "query", or the command, as "backup".
        status: of the HTTP answer.
        subject: id of a case, query, job or key that it was about.
        image_sha256: of the image that was sent; None once that image, being a case, was removed.
        generation: index generation that answered.
        results: ids of the cases that were shown, in the order of the answer.
        count: requests that it stands for.
        details: what a change changed: by field, {"old": ..., "new": ...} or `CHANGED`; of a
            command, the user's number ("uid").
        id: grows with time; None until it is kept.
    """

    at: datetime
    request_id: str
    key: str | None = None
    role: str | None = None
    action: str
    status: int
    subject: str | None = None
    image_sha256: str | None = None
    generation: str | None = None
    results: tuple[str, ...] = ()
    count: int = 1
    details: Mapping[str, Any] | None = None
    id: int | None = None


class Audit:
    """The trail in the catalog's database. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries, all or none of them.

        Raises:
            DatabaseUnreachable: the database does not answer; nothing was kept.
        """
        with writing(self._engine) as connection:
            insert_entries(connection, *entries)

    def entries(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        key: str | None = None,
        action: str | None = None,
        case: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        """Entries, the newest first.

        Args:
            since: not older than this.
            until: older than this.
            key: of this API key alone.
            action: of this operation alone.
            case: about this case, or that showed it. All other entries are looked through.
            before: with a smaller id than this: the last one of the page before.
            limit: at most so many, 1 to `MAX_ENTRIES`.
        """
        query = select(AuditRow).order_by(AuditRow.id.desc()).limit(min(limit, MAX_ENTRIES))
        for value, column, compare in (
            (since, AuditRow.at, operator.ge),
            (until, AuditRow.at, operator.lt),
            (key, AuditRow.key, operator.eq),
            (action, AuditRow.action, operator.eq),
            (before, AuditRow.id, operator.lt),
        ):
            if value is not None:
                query = query.where(compare(column, value))
        if case is not None:
            shown = cast(AuditRow.results, String).contains(f'"{case}"', autoescape=True)
            query = query.where(or_(AuditRow.subject == case, shown))
        with reading(self._engine) as connection, Session(connection) as session:
            return [_entry(row) for row in session.scalars(query)]

    def shown(self, since: datetime) -> Mapping[str, set[str]]:
        """Case ids that were shown to each API key since a time."""
        query = select(AuditRow.key, AuditRow.results).where(AuditRow.at >= since)
        found: dict[str, set[str]] = defaultdict(set)
        with reading(self._engine) as connection:
            for key, results in connection.execute(query):
                if key is not None:
                    found[key].update(results)
        return found

    def forget(self, days: int) -> int:
        """Delete what is older than so many days; returns how many entries that were."""
        oldest = datetime.now(UTC) - timedelta(days=days)
        old = select(AuditRow.id).where(AuditRow.at < oldest).limit(FORGOTTEN_AT_ONCE)
        forgotten = 0
        while True:
            with writing(self._engine) as connection:
                number = connection.execute(delete(AuditRow).where(AuditRow.id.in_(old))).rowcount
            forgotten += number
            if number < FORGOTTEN_AT_ONCE:
                return forgotten


def insert_entries(connection: Connection, *entries: AuditEntry) -> None:
    """Keep entries within a transaction that is under way."""
    names = [field.name for field in fields(AuditEntry) if field.name != "id"]
    rows = [{name: getattr(entry, name) for name in names} for entry in entries]
    if rows:
        connection.execute(insert(AuditRow), [row | {"results": [*row["results"]]} for row in rows])


def audit_command(url: str, action: str, generation: str) -> None:
    """Keep that a command was run which takes a whole catalog out, or brings one in.

    Args:
        url: of the catalog's database, whose schema is up to date.
        action: name of the command.
        generation: live one of the store.

    Raises:
        StorageError: the database does not answer, has no room left, or is read-only.
    """
    entry = AuditEntry(
        at=datetime.now(UTC),
        request_id="",
        action=action,
        status=200,
        generation=generation,
        details={"uid": os.getuid()},
    )
    engine = connect(url)
    try:
        Audit(engine).add([entry])
    finally:
        engine.dispose()


def changes(described: Mapping[str, tuple[Any, Any]]) -> Mapping[str, Any]:
    """Old and new values of a case's fields, as `AuditEntry.details`.

    Of the patient's pseudonym it tells only that it changed.
    """
    return {
        name: CHANGED if name == "patient" else {"old": old, "new": new}
        for name, (old, new) in described.items()
    }


def _entry(row: AuditRow) -> AuditEntry:
    values = {field.name: getattr(row, field.name) for field in fields(AuditEntry)}
    return AuditEntry(**values | {"results": tuple(row.results)})
