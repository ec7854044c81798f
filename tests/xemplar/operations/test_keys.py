"""API keys: a secret is shown once and kept nowhere; a key that is revoked stays so."""

import hashlib
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from xemplar.catalog import EVERYTHING
from xemplar.catalog.schema import connect, reading
from xemplar.errors import ConfigurationError, InvalidArgument, NotFound
from xemplar.operations.audit import Audit
from xemplar.operations.keys import Keys, Role, open_keys


@pytest.fixture
def keys(migrated: str) -> Iterator[Keys]:
    with open_keys(migrated) as opened:
        yield opened


def test_a_secret_is_long_and_only_its_digest_is_kept(keys: Keys, migrated: str) -> None:
    key, secret = keys.create("ward 3", Role.READER)
    assert secret.startswith("xk_")
    assert len(secret) == 3 + 43  # 256 bits
    assert list(keys.by_digest()) == [hashlib.sha256(secret.encode()).hexdigest()]
    engine = connect(migrated)
    with reading(engine) as connection:
        kept = str(connection.execute(text("SELECT * FROM api_keys")).all())
        kept += str(connection.execute(text("SELECT * FROM audit")).all())
    engine.dispose()
    assert key.id in kept
    assert secret not in kept


def test_no_two_secrets_are_the_same(keys: Keys) -> None:
    assert len({keys.create("same name", Role.ADMIN)[1] for _ in range(5)}) == 5


def test_a_revoked_key_is_listed_and_cannot_be_revoked_again(keys: Keys) -> None:
    (first, _), (second, _) = (keys.create(name, Role.WRITER) for name in ("a", "b"))
    keys.revoke(first.id)
    known = {key.id: key.revoked_at for key in keys.list()}
    assert known[first.id] is not None
    assert known[second.id] is None
    for unknown in (first.id, "f" * 16):
        with pytest.raises(NotFound, match="xemplar keys list"):
            keys.revoke(unknown)


def test_every_change_of_a_key_is_audited(keys: Keys, migrated: str) -> None:
    key, _ = keys.create("x", Role.ADMIN)
    keys.revoke(key.id)
    engine = connect(migrated)
    entries = Audit(engine).entries()
    engine.dispose()
    assert [(e.action, e.subject) for e in entries] == [
        ("revoke_key", key.id),
        ("create_key", key.id),
    ]


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
def test_a_key_needs_a_name_of_sensible_length(keys: Keys, name: str) -> None:
    with pytest.raises(InvalidArgument, match="1 to 100 characters"):
        keys.create(name, Role.READER)
    assert not keys.list()


def test_each_role_covers_those_before_it() -> None:
    covered = [[role.covers(needed) for needed in Role] for role in Role]
    assert covered == [[needed <= role for needed in range(4)] for role in range(4)]


def test_there_are_no_keys_without_a_catalog(url: str) -> None:
    with pytest.raises(ConfigurationError, match="xemplar index"):
        open_keys(url)


# ---- sources, expiry, last use --------------------------------------------------------------


def test_a_key_of_sources_that_ends_comes_back_as_it_was_made(keys: Keys) -> None:
    end = datetime.now(UTC) + timedelta(days=90)
    names = ["ward-b", " ward-a ", "ward-b"]
    made, _ = keys.create("x", Role.WRITER, sources=names, expires_at=end)
    assert made.sources == ("ward-a", "ward-b")
    assert keys.list() == [made]
    assert not made.has_expired
    limits = made.access
    assert (limits.sources, limits.writer) == (frozenset({"ward-a", "ward-b"}), made.id)


def test_a_key_without_sources_has_all_and_never_ends(keys: Keys) -> None:
    key, _ = keys.create("x", Role.ADMIN)
    assert (key.sources, key.expires_at, key.last_used_at) == (None, None, None)
    assert key.access == EVERYTHING


@pytest.mark.parametrize(
    ("sources", "why"),
    [([], "1 to 100 sources"), ([f"{n}" for n in range(101)], "1 to 100 sources")]
    + [([name], "is no source") for name in ("", " ", "x" * 101, "a\0")],
)
def test_what_can_be_no_source_is_refused(keys: Keys, sources: Collection[str], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        keys.create("x", Role.READER, sources=sources)
    assert not keys.list()


def test_an_administrator_has_all_sources(keys: Keys) -> None:
    with pytest.raises(InvalidArgument, match="sees all sources"):
        keys.create("x", Role.ADMIN, sources=["ward-a"])


@pytest.mark.parametrize("days", [-1, 40_000])
def test_a_key_ends_within_a_hundred_years(keys: Keys, days: int) -> None:
    with pytest.raises(InvalidArgument, match="cannot end"):
        keys.create("x", Role.READER, expires_at=datetime.now(UTC) + timedelta(days=days))


def test_the_last_use_is_the_latest_that_any_service_noted(keys: Keys) -> None:
    (used, _), (unused, _) = (keys.create(name, Role.READER) for name in ("a", "b"))
    now = datetime.now(UTC)
    keys.note_uses({used.id: now, "f" * 16: now})
    keys.note_uses({used.id: now - timedelta(minutes=1)})
    keys.note_uses({})
    assert {key.id: key.last_used_at for key in keys.list()} == {used.id: now, unused.id: None}
