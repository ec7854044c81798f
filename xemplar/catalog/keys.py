"""API keys: who may ask the service, and what for."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.orm import Session

from xemplar.catalog.audit import AuditEntry, put
from xemplar.catalog.schema import check, connect, reading, writing
from xemplar.catalog.tables import KeyRow
from xemplar.errors import InvalidArgument, NotFound

PREFIX = "xk_"
"""Of every secret, so that one that leaked is recognised."""

SECRET_BYTES = 32
MAX_NAME = 100


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
        created_at: UTC.
        revoked_at: UTC; None while it is good.
    """

    id: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


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

    def create(self, name: str, role: Role, *, audit: bool = True) -> tuple[Key, str]:
        """Make a key.

        Args:
            name: whose or what it is.
            role: what it may do.
            audit: False where whoever asks for it audits that: the service, with its request.

        Returns:
            The key and its secret, which cannot be had again.

        Raises:
            InvalidArgument: an empty name, or one that is too long.
        """
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
            created_at=datetime.now(UTC),
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
    return Key(**values | {"role": Role(row.role)})


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
