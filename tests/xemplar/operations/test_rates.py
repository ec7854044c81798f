"""Token buckets in PostgreSQL: never more than they hold, whoever takes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update

from tests.system.postgres import Postgres
from tests.xemplar.conftest import temporary_database
from xemplar.catalog.schema import connect, reading, writing
from xemplar.catalog.tables import RateRow
from xemplar.operations.rates import Rates

NEVER = 1e-9
"""A rate at which no token comes back within a test."""


@pytest.fixture
def database(postgres: Postgres, postgres_template: str) -> Iterator[str]:
    with temporary_database(postgres, postgres_template) as url:
        yield url


@pytest.fixture
def rates(database: str) -> Iterator[Rates]:
    engine = connect(database)
    yield Rates(engine)
    engine.dispose()


def test_as_many_are_taken_as_there_are(rates: Rates) -> None:
    assert rates.take("ann", 6, NEVER, 10) == (6, 0)
    assert rates.take("bob", 1, NEVER, 10) == (1, 0)
    assert rates.take("ann", 6, NEVER, 10) == (4, 0)
    taken, seconds = rates.take("ann", 6, NEVER, 10)
    assert taken == 0
    assert seconds == pytest.approx(1 / NEVER)


def test_takers_at_once_get_no_more_than_there_are(rates: Rates) -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = threads.map(lambda _: rates.take("ann", 3, NEVER, 50)[0], range(40))
        assert sum(taken) == 50


def test_tokens_come_back_with_time_by_the_database_s_clock(rates: Rates, database: str) -> None:
    assert rates.take("ann", 10, 0.5, 10) == (10, 0)
    engine = connect(database)
    with writing(engine) as connection:  # six seconds pass
        connection.execute(update(RateRow).values(at=RateRow.at - 6))
    engine.dispose()
    taken, _ = rates.take("ann", 10, 0.5, 10)
    assert 3 <= taken <= 10


def test_buckets_that_are_full_again_are_deleted(rates: Rates, database: str) -> None:
    rates.take("ann", 1, NEVER, 10)
    rates.take("bob", 1, 1e9, 10)
    rates.forget()
    engine = connect(database)
    with reading(engine) as connection:
        assert connection.scalar(select(func.count()).select_from(RateRow)) == 1
    engine.dispose()
    assert rates.take("ann", 10, NEVER, 10)[0] == 9
