"""A real PostgreSQL server, where one can be started."""

from collections.abc import Iterator

import pytest

from tests.system.postgres import NoPostgres, Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    try:
        server = Postgres()
    except NoPostgres as reason:
        pytest.skip(str(reason))
    with server:
        yield server
