"""API keys: who may ask the service, and what for."""

import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import Connection, Engine, bindparam, insert, or_, select, update
from sqlalchemy.orm import Session

from xemplar.catalog.access import Access
from xemplar.catalog.schema import check, connect, reading, writing
from xemplar.catalog.tables import KeyRow
from xemplar.data.names import check_name
from xemplar.errors import InvalidArgument, NotFound
from xemplar.operations.audit import AuditEntry, put

PREFIX = "xk_"
"""Of every secret, so that one that leaked is recognised."""

SECRET_BYTES = 32
MAX_NAME = 100
"""Characters of a key's name, and of a source's."""

MAX_SOURCES = 100
LONGEST = timedelta(days=36525)
"""A key may be good for a hundred years: dates without end cannot be reckoned with."""


class Role(StrEnum):
    """What a key may do. Each may do all that those before it may."""

    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether this role may do what ``needed`` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, kw_only=True)
class Key:
    """An API key, without its secret.

    Attributes:
        id: 16 hex digits, as in logs and audit.
        name: whose or what it is; chosen by whoever made it.
        role: what it may do.
        sources: whose cases exist for it, by name; None: all.
        created_at: UTC.
        expires_at: from then on it is refused, UTC; None: never.
        last_used_at: UTC, to about a minute; None: never.
        revoked_at: UTC; None while it is not.
    """

    id: str
    name: str
    role: Role
    sources: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def has_expired(self) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)

    @property
    def access(self) -> Access:
        """Its limits; an administrator's changes of patients are not counted."""
        return Access(
            sources=None if self.sources is None else frozenset(self.sources),
            writer=None if self.role == Role.ADMIN else self.id,
        )


def digest_of(secret: str) -> str:
    """What is kept of a secret: its sha256, as hex.

    A slow hash (as for passwords) would protect nothing: it makes guessing expensive, and 256
    random bits cannot be guessed at any price.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def open_keys(url: str) -> "Keys":
    """The keys of a catalog whose schema is up to date (see `migrate`).

    Raises:
        ConfigurationError, DatabaseUnreachable, Mismatch: as `open_catalog`.
    """
    engine = connect(url)
    try:
        check(engine)
    except BaseException:
        engine.dispose()
        raise
    return Keys(engine)


class Keys:
    """The keys in the catalog's database. A change is audited in the same transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def create(
        self,
        name: str,
        role: Role,
        *,
        sources: Collection[str] | None = None,
        expires_at: datetime | None = None,
        audit: bool = True,
    ) -> tuple[Key, str]:
        """Make a key.

        Args:
            name: whose or what it is.
            role: what it may do.
            sources: whose cases exist for it, by name; None: all. An administrator has all.
            expires_at: from then on it is refused; None: never.
            audit: False where whoever asks for it audits that: the service, with its request.

        Returns:
            The key and its secret, which cannot be had again.

        Raises:
            InvalidArgument: an empty name, one that is too long or holds a control character;
                sources that are none, or an
                administrator's; an end that is no time to come.
        """
        check_name(name.strip(), "a key's name")
        if not 0 < len(name.strip()) <= MAX_NAME:
            raise InvalidArgument(
                f"a key's name has 1 to {MAX_NAME} characters, not {len(name.strip())}; name "
                "whose key it is"
            )
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        key = Key(
            id=secrets.token_hex(8),
            name=name.strip(),
            role=role,
            sources=_sources(sources, role),
            created_at=datetime.now(UTC),
            expires_at=_end(expires_at),
            last_used_at=None,
            revoked_at=None,
        )
        with writing(self._engine) as connection:
            connection.execute(insert(KeyRow).values(vars(key) | {"sha256": digest_of(secret)}))
            if audit:
                _audit(connection, "create_key", key.id, {"role": {"old": None, "new": role}})
        return key, secret

    def revoke(self, key_id: str, *, audit: bool = True) -> Key:
        """Make a key useless, for good.

        Args:
            key_id: of a good key.
            audit: as in `create`.

        Returns:
            The key, revoked.

        Raises:
            NotFound: there is no such key, or it is revoked already.
        """
        good = (KeyRow.id == key_id) & KeyRow.revoked_at.is_(None)
        missing = NotFound(
            f"there is no key {key_id!r} that is good; `xemplar keys list` shows all"
        )
        if not any(key.id == key_id and key.revoked_at is None for key in self.list()):
            raise missing  # before anything is written: that may be refused
        with writing(self._engine) as connection:
            done = connection.execute(
                update(KeyRow).where(good).values(revoked_at=datetime.now(UTC))
            )
            if not done.rowcount:
                raise missing
            if audit:
                _audit(connection, "revoke_key", key_id)
            with Session(connection) as session:
                return _key(session.scalars(select(KeyRow).where(KeyRow.id == key_id)).one())

    def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """Note when keys were used last, by their ids; what is noted already stays if it is later.

        Raises:
            StorageError: nothing was noted.
        """
        older = or_(KeyRow.last_used_at.is_(None), KeyRow.last_used_at < bindparam("used_at"))
        statement = (
            update(KeyRow.__table__)  # type: ignore[arg-type]  # it is a Table
            .where(KeyRow.id == bindparam("key"), older)
            .values(last_used_at=bindparam("used_at"))
        )
        if uses:
            with writing(self._engine) as connection:
                rows = [{"key": key_id, "used_at": at} for key_id, at in uses.items()]
                connection.execute(statement, rows)

    def list(self) -> Sequence[Key]:
        """All keys, revoked ones too, the oldest first."""
        with reading(self._engine) as connection, Session(connection) as session:
            rows = session.scalars(select(KeyRow).order_by(KeyRow.created_at, KeyRow.id))
            return [_key(row) for row in rows]

    def by_digest(self) -> Mapping[str, Key]:
        """All keys, revoked ones too, by the digest of their secret (`digest_of`)."""
        with reading(self._engine) as connection, Session(connection) as session:
            return {row.sha256: _key(row) for row in session.scalars(select(KeyRow))}


def _key(row: KeyRow) -> Key:
    values = {field.name: getattr(row, field.name) for field in fields(Key)}
    sources = None if row.sources is None else tuple(row.sources)
    return Key(**values | {"role": Role(row.role), "sources": sources})


def _sources(given: Collection[str] | None, role: Role) -> tuple[str, ...] | None:
    """Names of sources without spaces around them, each once, sorted.

    Raises:
        InvalidArgument: none, too many, or one that no case can have; or an administrator's.
    """
    if given is None:
        return None
    if role == Role.ADMIN:
        raise InvalidArgument(
            "a key of role admin sees all sources, as it makes keys and reads the audit trail; "
            "leave its sources out, or take role reader or writer"
        )
    names = sorted({name.strip() for name in given})
    if not 1 <= len(names) <= MAX_SOURCES:
        raise InvalidArgument(
            f"a key has 1 to {MAX_SOURCES} sources, not {len(names)}; leave them out for all"
        )
    for name in names:
        if not 0 < len(name) <= MAX_NAME or "\0" in name:
            raise InvalidArgument(
                f"{name[:60]!r} is no source: its name has 1 to {MAX_NAME} characters, none of "
                "them NUL"
            )
    return tuple(names)


def _end(given: datetime | None) -> datetime | None:
    """When a key ends, in UTC.

    Raises:
        InvalidArgument: it has passed, or lies farther away than `LONGEST`.
    """
    now = datetime.now(UTC)
    if given is None:
        return None
    if not now < given <= now + LONGEST:
        raise InvalidArgument(
            f"a key cannot end {given:%Y-%m-%d %H:%M %z}; name a time to come, within "
            f"{LONGEST.days:,} days, or none"
        )
    return given.astimezone(UTC)


def _audit(
    connection: Connection, action: str, subject: str, details: Mapping[str, Any] | None = None
) -> None:
    entry = AuditEntry(
        at=datetime.now(UTC),
        request_id="",
        action=action,
        status=200,
        subject=subject,
        details=details,
    )
    put(connection, entry)
