"""A PostgreSQL that says nothing is found out soon, and used again once it speaks."""

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from tests.system.postgres import Postgres
from xemplar.catalog import postgres as module
from xemplar.catalog.schema import connect, reading
from xemplar.errors import DatabaseUnreachable

SOON = 1.0


@pytest.fixture
def engine(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """With short limits; what a test froze goes on after it."""
    monkeypatch.setattr(module, "ANSWER_SECONDS", SOON)
    engine = connect(postgres.create(f"test_{secrets.token_hex(6)}"))
    yield engine
    engine.dispose()
    postgres.thaw()


def test_a_server_that_is_frozen_is_unreachable_and_not_asked_again_at_once(
    engine: Engine, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frozen_in_the_middle() -> None:
        with reading(engine) as one:
            one.execute(text("SELECT 1"))
            postgres.freeze()
            one.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnreachable, match=r"silent for 1"):
        frozen_in_the_middle()
    monkeypatch.setattr(module, "AGAIN_SECONDS", 3600.0)
    with pytest.raises(DatabaseUnreachable, match="did not answer a moment ago"), reading(engine):
        pass
    postgres.thaw()
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    with reading(engine) as one:
        assert one.scalar(text("SELECT 2")) == 2


def test_an_answer_that_is_long_and_on_its_way_is_waited_for(engine: Engine) -> None:
    slowly = "SELECT pg_sleep(0.02), repeat('x', 20000) FROM generate_series(1, 100)"
    with reading(engine) as one:
        assert len(one.execute(text(slowly)).all()) == 100


def test_a_connection_in_use_while_the_engine_is_disposed_of_is_closed_on_its_return(
    engine: Engine,
) -> None:
    with engine.connect() as one:
        one.execute(text("SELECT 1"))
        kept = one.connection.driver_connection
        engine.dispose()
        assert kept is not None
        assert not kept.closed
    assert kept.closed
