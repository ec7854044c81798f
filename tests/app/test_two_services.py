"""Two service processes on one PostgreSQL: what one answers the other explains, and limits hold.

In short: test_remembered.py, with two services in one process.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.agreement import PATIENCE
from tests.app.asking import bearer, problem
from tests.system.common import Service, phantoms
from tests.system.postgres import NoPostgres, Postgres
from tests.system.served import Site, phantom_site
from xemplar.operations.keys import Role, open_keys

pytestmark = [pytest.mark.system, pytest.mark.long]

BURST = 40


@dataclass
class Two:
    """Two services, their store and their database."""

    services: list[Service]
    site: Site
    server: Postgres
    secrets: dict[str, str]
    folder: Path
    settings: dict[str, str]

    def restart(self, number: int) -> None:
        """Start one of them again, on another port, after it was stopped or killed."""
        log = self.folder / f"service-{number}-again.log"
        one = Service(self.site.store, self.site.checkpoint, log, 0, **self.settings)
        self.services[number] = one
        one.wait_until_ready()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    try:
        cluster = Postgres()
    except NoPostgres as reason:
        pytest.skip(str(reason))
    with cluster as server:
        database = server.create("xemplar")
        site = phantom_site(folder, 12, database)
        settings = {
            "XEMPLAR_DATABASE_URL": database,
            "XEMPLAR_REQUESTS_PER_SECOND": "0.001",
            "XEMPLAR_REQUESTS_AT_ONCE": str(BURST),
            "XEMPLAR_WRONG_KEYS_PER_MINUTE": "0.001",
            "FORWARDED_ALLOW_IPS": "127.0.0.1",  # each test's requests have an address of their own
        }
        with open_keys(database) as keys:  # known to both services from their start
            secrets = {name: keys.create(name, Role.READER)[1] for name in ("ann", "bob")}
        made = [
            Service(site.store, site.checkpoint, folder / f"service-{n}.log", 0, **settings)
            for n in range(2)
        ]
        both = Two(made, site, server, secrets, folder, settings)
        try:
            for one in made:
                one.wait_until_ready()
            yield both
        finally:
            for one in both.services:
                one.stop()


def headers(two: Two, name: str, address: str) -> dict[str, str]:
    """Of a key's requests that come through a proxy from an address."""
    return bearer(two.secrets[name]) | {"X-Forwarded-For": address}


def get(service: Service, path: str, headers: dict[str, str]) -> httpx2.Response:
    return httpx2.get(f"{service.url}{path}", headers=headers, timeout=PATIENCE)


def asked(service: Service, image: bytes, headers: dict[str, str]) -> dict[str, Any]:
    answer = httpx2.post(
        f"{service.url}/query?k=3", files={"image": image}, headers=headers, timeout=PATIENCE
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def explanations(answer: dict[str, Any]) -> list[str]:
    query, case = answer["query_id"], answer["neighbours"][0]["case_id"]
    return [
        f"/queries/{query}/image",
        f"/queries/{query}/overlay",
        f"/queries/{query}/evidence/{case}",
        f"/cases/{case}/evidence/{query}",
        f"/queries/{query}/matches/{case}",
    ]


def test_each_explains_what_the_other_answered_and_after_a_kill_too(two: Two) -> None:
    ann = headers(two, "ann", "192.0.2.1")
    (image,) = phantoms(500, 1)
    here, there = two.services
    answer = asked(here, image, ann)
    paths = explanations(answer)
    drawn = [get(there, path, ann) for path in paths]
    assert [one.text for one in drawn if one.status_code != 200] == []
    assert [one.content for one in drawn] == [get(here, path, ann).content for path in paths]
    later = asked(here, image, ann)
    here.kill()
    for path in explanations(later):
        assert get(there, path, ann).status_code == 200
    repeated = get(there, f"/queries/{later['query_id']}/similar?k=3&include=maps", ann).json()
    cases = [near["case_id"] for near in later["neighbours"]]
    assert [near["case_id"] for near in repeated["neighbours"]] == cases
    two.restart(0)
    assert get(two.services[0], paths[0], ann).content == drawn[0].content


def test_a_key_s_burst_is_one_over_both(two: Two) -> None:
    statuses = []
    for number in range(2 * BURST):  # from four addresses, which have buckets of their own
        bob = headers(two, "bob", f"192.0.2.{10 + number % 4}")
        statuses.append(get(two.services[number % 2], "/findings", bob).status_code)
    assert statuses == [200] * BURST + [429] * BURST
    refused = get(two.services[0], "/findings", headers(two, "bob", "192.0.2.20"))
    assert "after a burst of 40" in problem(refused, 429, "TooManyRequests")


def test_wrong_keys_of_an_address_are_counted_over_both(two: Two) -> None:
    wrong = {"X-API-Key": "wrong", "X-Forwarded-For": "192.0.2.30"}
    tried = [get(two.services[n % 2], "/me", wrong).status_code for n in range(14)]
    assert tried == [401] * 10 + [429] * 4
