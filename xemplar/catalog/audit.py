"""The audit trail: who asked what, when, and what was answered. No film, no name, no address."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.orm import Session

from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import AuditRow

MAX_ENTRIES = 1000
"""At most so many entries are given at once."""

FORGOTTEN_AT_ONCE = 10_000
"""Entries that one transaction deletes: others wait for it meanwhile."""


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One event.

    Attributes:
        at: when it was answered, UTC.
        request_id: as in the log and in the answer's X-Request-ID; "" on the command line.
        key: id of the API key; None where none was given, or none was right.
        role: of the key; None where the request was not known to be anybody's.
        action: operation id, as "query".
        status: of the HTTP answer.
        subject: id of a case, query, job or key that it was about.
        image_sha256: of the film that was sent.
        generation: index generation that answered.
        results: case ids, in the order of the answer.
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
            for entry in entries:
                put(connection, entry)

    def entries(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        key: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        """Entries, the newest first.

        Args:
            since: not older than this.
            until: older than this.
            key: of this API key alone.
            action: of this operation alone.
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
        with reading(self._engine) as connection, Session(connection) as session:
            return [_entry(row) for row in session.scalars(query)]

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


def put(connection: Connection, entry: AuditEntry) -> None:
    """Keep an entry within a transaction that is under way."""
    values = {field.name: getattr(entry, field.name) for field in fields(entry)}
    del values["id"]
    connection.execute(insert(AuditRow).values(values | {"results": list(entry.results)}))


def _entry(row: AuditRow) -> AuditEntry:
    values = {field.name: getattr(row, field.name) for field in fields(AuditEntry)}
    return AuditEntry(**values | {"results": tuple(row.results)})
