"""A rate of several services: exact while the database is there, each by itself while it is not."""

from collections.abc import Iterator

import anyio
import pytest
from xemplar_app.problems import Refusal
from xemplar_app.shared_rate import AGAIN_SECONDS, SharedRate

from tests.system.postgres import Postgres
from xemplar.catalog import migrate
from xemplar.catalog.schema import connect
from xemplar.errors import DatabaseUnreachable
from xemplar.operations.rates import Rates

NEVER = 1e-9


@pytest.fixture
def rates(postgres: Postgres) -> Iterator[Rates]:
    url = postgres.create("limits")
    migrate(url)
    engine = connect(url)
    yield Rates(engine)
    engine.dispose()
    postgres.drop(url)


class StoppedClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def named(kind: str, caller: str) -> str:
    return f"{kind} {caller}"


async def allowed(rate: SharedRate, requests: int, caller: str = "ann") -> int:
    """Of so many requests, those that are not refused."""
    count = 0
    for _ in range(requests):
        try:
            await rate.take(caller)
        except Refusal:
            continue
        count += 1
    return count


def shared(rates: Rates, at_once: int) -> SharedRate:
    return SharedRate("key", NEVER, at_once, rates, named)


def test_two_services_together_allow_what_one_would(rates: Rates) -> None:
    async def main() -> None:
        here, there = shared(rates, 7), shared(rates, 7)
        assert await allowed(here, 3) == 3
        assert await allowed(there, 9) == 4
        assert await allowed(here, 9) == 0
        assert await allowed(there, 2, "bob") == 2

    anyio.run(main)


def test_requests_at_once_get_no_more_than_there_is(rates: Rates) -> None:
    async def main() -> None:
        services = [shared(rates, 40) for _ in range(3)]
        counts = list[int]()

        async def ask(rate: SharedRate) -> None:
            counts.append(await allowed(rate, 5))

        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(ask, services[number % 3])
        assert sum(counts) == 40

    anyio.run(main)


def test_a_service_takes_at_most_a_tenth_of_a_burst_for_itself(rates: Rates) -> None:
    async def main() -> None:
        here, there = (SharedRate("key", 50, 100, rates, named, StoppedClock()) for _ in range(2))
        assert await allowed(here, 1) == 1
        assert await allowed(there, 90) == 90

    anyio.run(main)


def test_each_kind_of_limit_has_its_own_buckets(rates: Rates) -> None:
    async def main() -> None:
        assert await allowed(shared(rates, 2), 5) == 2
        assert await allowed(SharedRate("address", NEVER, 2, rates, named), 5) == 2

    anyio.run(main)


class Away(Rates):
    """Of a database that is away at first."""

    def __init__(self, rates: Rates) -> None:
        self.there = False
        self.asked = 0
        self._rates = rates

    def take(self, caller: str, wanted: int, per_second: float, at_once: int) -> tuple[int, float]:
        self.asked += 1
        if not self.there:
            raise DatabaseUnreachable("gone")
        return self._rates.take(caller, wanted, per_second, at_once)


def test_without_the_database_a_service_limits_by_itself_and_asks_again(rates: Rates) -> None:
    async def main() -> None:
        clock, away = StoppedClock(), Away(rates)
        rate = SharedRate("key", NEVER, 3, away, named, clock)
        assert await allowed(rate, 5) == 3
        assert away.asked == 1  # not each request waits for it
        away.there = True
        assert await allowed(rate, 1) == 0
        clock.now += AGAIN_SECONDS
        assert await allowed(rate, 5) == 3

    anyio.run(main)


def test_who_is_refused_asks_the_database_no_more_until_a_token_is_back(rates: Rates) -> None:
    async def main() -> None:
        counted = Away(rates)
        counted.there = True
        rate = SharedRate("key", NEVER, 1, counted, named, StoppedClock())
        assert await allowed(rate, 20) == 1
        assert counted.asked == 2

    anyio.run(main)


def test_no_limit_asks_nobody() -> None:
    async def main() -> None:
        assert await allowed(SharedRate("key", 0, 1, None, named), 100) == 100

    anyio.run(main)
