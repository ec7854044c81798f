"""Readers' pseudonyms and the API keys that own them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Select, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from xemplar.api.rating_scale import RATER
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import KeyRow, RaterRow
from xemplar.errors import InvalidArgument, NotFound, PseudonymTaken, TooManyRatings

MAX_RATERS = 100
"""Pseudonyms that a key may claim; administrators can assign more."""


@dataclass(frozen=True)
class Rater:
    """A pseudonym.

    Attributes:
        name: the pseudonym (`xemplar.api.rating_scale.RATER`).
        key: id of the API key that owns it; None if ratings were saved under it while there were no
            keys, or before pseudonyms had owners.
    """

    name: str
    key: str | None


class Raters:
    """The pseudonyms in the catalog's database. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> Sequence[Rater]:
        """Return all pseudonyms, by name."""
        query = select(RaterRow.name, RaterRow.key).order_by(RaterRow.name)
        with reading(self._engine) as connection:
            return [Rater(*row) for row in connection.execute(query)]

    def assign(self, name: str, key: str) -> Rater:
        """Assign a pseudonym with all its ratings to a key, whoever owned it before.

        Raises:
            InvalidArgument: the pseudonym is invalid.
            NotFound: there is no such valid key.
        """
        check_name(name)
        good = select(KeyRow.id).where(KeyRow.id == key, KeyRow.revoked_at.is_(None))
        with writing(self._engine) as connection:
            if connection.scalar(good) is None:
                raise NotFound(
                    f"there is no key {key[:64]!r} that is good; `xemplar keys list` shows all"
                )
            _insert_unless_owned(connection, name, key)
            connection.execute(update(RaterRow).where(RaterRow.name == name).values(key=key))
        return Rater(name, key)

    def check(self, name: str, key: str | None) -> None:
        """Refuse a pseudonym that a key may not use; unused ones are free.

        Args:
            name: the pseudonym.
            key: id of the caller's key; None if the service requires no keys and any may be used.

        Raises:
            PseudonymTaken: it belongs, or may belong, to another key.
        """
        with reading(self._engine) as connection:
            owner = connection.execute(_owner(name)).one_or_none()
        if owner is not None:
            _check_owner(name, owner.key, key)


def claim(connection: Connection, name: str, key: str | None) -> None:
    """Claim a free pseudonym for a key, and lock it until the transaction ends.

    Raises:
        InvalidArgument: the pseudonym is invalid.
        PseudonymTaken: see `Raters.check`.
        TooManyRatings: the key has claimed `MAX_RATERS` already.
    """
    check_name(name)
    owner = connection.execute(_owner(name).with_for_update()).one_or_none()
    if owner is None:
        mine = select(func.count()).select_from(RaterRow).where(RaterRow.key == key)
        if key is not None and (connection.scalar(mine) or 0) >= MAX_RATERS:
            raise TooManyRatings(
                f"this key has {MAX_RATERS} pseudonyms, which is the limit; use one of them, or "
                f"ask an administrator to give {name!r} to your key (PUT /raters/{name})"
            )
        _insert_unless_owned(connection, name, key)
        owner = connection.execute(_owner(name).with_for_update()).one()  # another may win
    _check_owner(name, owner.key, key)


def check_name(name: str) -> None:
    """Refuse a name that is not a valid pseudonym.

    Raises:
        InvalidArgument: it is not.
    """
    if not re.fullmatch(RATER, name):
        raise InvalidArgument(
            f"{name[:60]!r} is no pseudonym of a reader; choose 1 to 32 of a-z, 0-9 and -, a "
            "letter first"
        )


def _owner(name: str) -> Select[str | None]:
    return select(RaterRow.key).where(RaterRow.name == name)


def _insert_unless_owned(connection: Connection, name: str, key: str | None) -> None:
    """Insert a pseudonym for a key unless it exists; concurrent inserts wait for each other."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(RaterRow).values(name=name, key=key)
    connection.execute(statement.on_conflict_do_nothing())


def _check_owner(name: str, owner: str | None, key: str | None) -> None:
    if key in (None, owner):
        return
    whose = (
        f"the pseudonym {name!r} belongs to another key"
        if owner
        else f"ratings were saved under {name!r} when pseudonyms belonged to no key"
    )
    raise PseudonymTaken(
        f"{whose}; choose another one, or ask an administrator to give it to your key "
        f"(PUT /raters/{name})"
    )
