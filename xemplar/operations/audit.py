"""The audit trail: requests with key, time and outcome, without images, names or addresses."""

import operator
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self

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

from xemplar.api.administration import MAX_ENTRIES
from xemplar.catalog.removal import CHANGED
from xemplar.catalog.schema import connect, reading, writing
from xemplar.catalog.tables import AuditRow

FORGOTTEN_AT_ONCE = 10_000
"""Entries deleted per transaction, which blocks other writers."""


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """An audited event, or several of one kind.

    Attributes:
        at: time of the response, UTC; of the first event if several.
        request_id: as in the log and in the X-Request-ID header; "" for a command.
        key: id of the API key; None without a valid key.
        role: of the key; None if the request was not authenticated.
        action: operation id, such as "query", or command, such as "backup".
        status: of the HTTP response.
        subject: id of the case, query, job or key concerned.
        image_sha256: of the uploaded image; None after the removal of its case.
        generation: index generation that answered.
        results: ids of the returned cases, in order.
        count: number of requests.
        details: changed fields: {"old": ..., "new": ...} or `CHANGED`; for a command, the user's
            "uid".
        id: increases with time; None until stored.
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

    @classmethod
    def of_command(
        cls,
        action: str,
        *,
        subject: str | None = None,
        generation: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make the entry of a command that has just succeeded. Arguments as the attributes."""
        return cls(
            at=datetime.now(UTC),
            request_id="",
            action=action,
            status=200,
            subject=subject,
            generation=generation,
            details=details,
        )


class Audit:
    """The audit trail in the catalog's database. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, entries: Sequence[AuditEntry]) -> None:
        """Store entries in one transaction.

        Raises:
            DatabaseUnreachable: the database does not answer; nothing was stored.
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
        """Return entries, newest first.

        Args:
            since: not older than this.
            until: older than this.
            key: only of this API key.
            action: only of this operation.
            case: only about this case or with it among the results; scans all matching entries.
            before: only with smaller ids, for paging: the last id of the previous page.
            limit: maximum number, 1 to `MAX_ENTRIES`.
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
        """Return the ids of cases shown to each API key since a time."""
        query = select(AuditRow.key, AuditRow.results).where(AuditRow.at >= since)
        found: dict[str, set[str]] = defaultdict(set)
        with reading(self._engine) as connection:
            for key, results in connection.execute(query):
                if key is not None:
                    found[key].update(results)
        return found

    def forget(self, days: int) -> int:
        """Delete entries older than ``days``; return their number."""
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
    """Insert entries within an open transaction."""
    names = [field.name for field in fields(AuditEntry) if field.name != "id"]
    rows = [{name: getattr(entry, name) for name in names} for entry in entries]
    if rows:
        connection.execute(insert(AuditRow), [row | {"results": [*row["results"]]} for row in rows])


def audit_command(url: str, action: str, generation: str) -> None:
    """Audit a command that exports or imports a whole catalog.

    Args:
        url: of the catalog's database, with an up-to-date schema.
        action: name of the command.
        generation: live generation of the store.

    Raises:
        StorageError: the database does not answer, has no room left, or is read-only.
    """
    entry = AuditEntry.of_command(action, generation=generation, details={"uid": os.getuid()})
    engine = connect(url)
    try:
        Audit(engine).add([entry])
    finally:
        engine.dispose()


def changes(described: Mapping[str, tuple[Any, Any]]) -> Mapping[str, Any]:
    """Convert old and new values of a case's fields to `AuditEntry.details`.

    The patient's pseudonym is recorded only as changed.
    """
    return {
        name: CHANGED if name == "patient" else {"old": old, "new": new}
        for name, (old, new) in described.items()
    }


def _entry(row: AuditRow) -> AuditEntry:
    values = {field.name: getattr(row, field.name) for field in fields(AuditEntry)}
    return AuditEntry(**values | {"results": tuple(row.results)})
