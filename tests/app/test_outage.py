"""PostgreSQL goes away and comes back: `tests/system/postgres_outage.py` in short."""

from collections.abc import Mapping
from pathlib import Path

import anyio
import httpx2
import pytest
from xemplar_app.security import KeyRing

from tests.agreement import PATIENCE
from tests.system.clients import NEVER_BUSY, clients_asking
from tests.system.common import Service
from tests.system.postgres import NoPostgres, Postgres
from tests.system.postgres_outage import outage
from tests.system.recorder import Recorder
from tests.system.served import phantom_site
from xemplar.errors import DatabaseUnreachable
from xemplar.operations.keys import Key, Keys

pytestmark = pytest.mark.system


def test_a_killed_postgres_is_told_to_clients_and_missed_no_longer_than_it_is_away(
    tmp_path: Path,
) -> None:
    try:
        cluster = Postgres()
    except NoPostgres as reason:
        pytest.skip(str(reason))
    with cluster as server:
        database = server.create("xemplar")
        site = phantom_site(tmp_path, 12, database)
        recorder, log = Recorder(site.images), tmp_path / "service.log"
        settings = {"XEMPLAR_DATABASE_URL": database, **NEVER_BUSY}
        service = Service(site.store, site.checkpoint, log, 0, **settings)
        try:
            service.wait_until_ready()
            with clients_asking(service.url, recorder, clients=2, pause=0.02):
                one = outage(service.url, server, recorder, "kill", seconds=2, before=1, after=2)
            service.wait_until_ready()
            with httpx2.Client(base_url=service.url, timeout=PATIENCE) as http:
                recorder.check_acknowledged(http)
        finally:
            service.stop()
    # a busy machine may be slow, but each answer must be one of the two that are right
    slow = ("recovered only", "looks at /healthz", "answered only")
    assert [fault for fault in one.faults() if not any(word in fault for word in slow)] == []
    assert recorder.wrong == []
    assert {sample.status for sample in one.phases["before"]} <= {200, 201, 204}
    assert 503 in {sample.status for sample in one.phases["outage"]}


class Silent(Keys):
    """Of a database that says nothing for a while."""

    def __init__(self) -> None:
        self.asked = 0

    def by_digest(self) -> Mapping[str, Key]:
        self.asked += 1
        anyio.from_thread.run(anyio.sleep, 0.1)
        raise DatabaseUnreachable("gone")


def test_requests_that_wait_for_the_keys_share_what_one_of_them_finds_out() -> None:
    keys, refused = Silent(), []

    async def ask(ring: KeyRing) -> None:
        with pytest.raises(DatabaseUnreachable):
            await ring.known()
        refused.append(ring)

    async def main() -> None:
        ring = KeyRing(keys)
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask, ring)
        assert keys.asked == 1
        await ask(ring)  # who comes later tries again
        assert keys.asked == 2

    anyio.run(main)
    assert len(refused) == 11
