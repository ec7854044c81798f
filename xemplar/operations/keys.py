"""API keys and their roles."""

import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Self

from sqlalchemy import Engine, bindparam, insert, or_, select, update
from sqlalchemy.orm import Session

from xemplar.api.administration import MAX_SOURCES
from xemplar.api.administration import Role as Role
from xemplar.catalog.access import Access
from xemplar.catalog.schema import check, connect, reading, writing
from xemplar.catalog.tables import KeyRow
from xemplar.errors import InvalidArgument, NotFound
from xemplar.names import check_name
from xemplar.operations.audit import AuditEntry, insert_entries

PREFIX = "xk_"
"""Prefix of every secret, so that leaked ones are recognisable."""

SECRET_BYTES = 32
MAX_NAME = 100
"""Maximum length of the name of a key or a source."""

MAX_LIFETIME = timedelta(days=36525)
"""Longest validity of a key, which keeps date arithmetic in range."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """An API key, without its secret.

    Attributes:
        id: 16 hex digits, as in logs and audit trail.
        name: chosen by its creator.
        role: permissions.
        sources: names of the sources whose cases it can see; None for all.
        created_at: UTC.
        expires_at: end of validity, UTC; None for none.
        last_used_at: UTC, to about a minute; None if never used.
        revoked_at: UTC; None if not revoked.
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
        """True after the end of its validity."""
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)

    @property
    def access(self) -> Access:
        """Limits of the key; an administrator's patient changes are not limited."""
        return Access(
            sources=None if self.sources is None else frozenset(self.sources),
            writer=None if self.role == Role.ADMIN else self.id,
        )


def digest_of(secret: str) -> str:
    """Return the stored form of a secret: its sha256 hex digest.

    A slow hash, as for passwords, would not help: 256 random bits cannot be guessed.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def open_keys(url: str) -> "Keys":
    """Open the keys of a catalog with an up-to-date schema (see `migrate`).

    Raises:
        ConfigurationError, DatabaseUnreachable, Mismatch: see `open_catalog`.
    """
    engine = connect(url)
    try:
        check(engine)
    except BaseException:
        engine.dispose()
        raise
    return Keys(engine)


class Keys:
    """The API keys in the catalog's database. Changes are audited in the same transaction."""

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
        """Create a key.

        Args:
            name: of its owner or purpose.
            role: permissions.
            sources: names of the sources whose cases it can see; None for all, as an administrator
                must have.
            expires_at: end of validity; None for none.
            audit: False if the caller audits the change itself, as the service does with its
                request.

        Returns:
            The key and its secret, which cannot be retrieved later.

        Raises:
            InvalidArgument: the name is empty, too long or contains a control character; the
                sources are invalid, or given for an administrator; or the end of validity is not in
                the future.
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
                made = {"role": {"old": None, "new": role}}
                entry = AuditEntry.of_command("create_key", subject=key.id, details=made)
                insert_entries(connection, entry)
        return key, secret

    def revoke(self, key_id: str, *, audit: bool = True) -> Key:
        """Revoke a key permanently.

        Args:
            key_id: of a valid key.
            audit: see `create`.

        Returns:
            The revoked key.

        Raises:
            NotFound: there is no such key, or it was revoked already.
        """
        good = (KeyRow.id == key_id) & KeyRow.revoked_at.is_(None)
        missing = NotFound(
            f"there is no key {key_id!r} that is good; `xemplar keys list` shows all"
        )
        if not any(key.id == key_id and key.revoked_at is None for key in self.list()):
            raise missing  # checked first: writes may be refused
        with writing(self._engine) as connection:
            done = connection.execute(
                update(KeyRow).where(good).values(revoked_at=datetime.now(UTC))
            )
            if not done.rowcount:
                raise missing
            if audit:
                insert_entries(connection, AuditEntry.of_command("revoke_key", subject=key_id))
            with Session(connection) as session:
                return _key(session.scalars(select(KeyRow).where(KeyRow.id == key_id)).one())

    def note_uses(self, uses: Mapping[str, datetime]) -> None:
        """Record when keys were last used, by their ids; later recorded times are kept.

        Raises:
            StorageError: nothing was recorded.
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
        """Return all keys including revoked ones, oldest first."""
        with reading(self._engine) as connection, Session(connection) as session:
            rows = session.scalars(select(KeyRow).order_by(KeyRow.created_at, KeyRow.id))
            return [_key(row) for row in rows]

    def by_digest(self) -> Mapping[str, Key]:
        """Return all keys including revoked ones, by the digest of their secret (`digest_of`)."""
        with reading(self._engine) as connection, Session(connection) as session:
            return {row.sha256: _key(row) for row in session.scalars(select(KeyRow))}


def _key(row: KeyRow) -> Key:
    values = {field.name: getattr(row, field.name) for field in fields(Key)}
    sources = None if row.sources is None else tuple(row.sources)
    return Key(**values | {"role": Role(row.role), "sources": sources})


def _sources(given: Collection[str] | None, role: Role) -> tuple[str, ...] | None:
    """Normalise names of sources: stripped, unique, sorted.

    Raises:
        InvalidArgument: there are none or too many, one is invalid, or the role is admin.
    """
    if given is None:
        return None
    if role == Role.ADMIN:
        raise InvalidArgument(
            "a key of role admin sees all sources, as it makes keys and reads the audit trail; "
            "leave its sources out, or take another role"
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
    """Check the end of a key's validity and convert it to UTC.

    Raises:
        InvalidArgument: it is not in the future, or later than `MAX_LIFETIME` allows.
    """
    now = datetime.now(UTC)
    if given is None:
        return None
    if not now < given <= now + MAX_LIFETIME:
        raise InvalidArgument(
            f"a key cannot end {given:%Y-%m-%d %H:%M %z}; name a time to come, within "
            f"{MAX_LIFETIME.days:,} days, or none"
        )
    return given.astimezone(UTC)
