"""The service on a Milvus index: generations change under load, the engine goes away and is back.

Runs where the group ``engines`` is installed: `make engines`.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rich.progress import Progress

from tests.agreement import PATIENCE
from tests.stores import SmallStore
from tests.system.clients import NEVER_BUSY, clients_asking
from tests.system.common import Service
from tests.system.load import faults
from tests.system.load import load as load_service
from tests.system.milvus import Milvus
from tests.system.recorder import Recorder, Sample
from tests.system.served import Site, serving
from xemplar.archive.store import Store
from xemplar.catalog import open_catalog
from xemplar.indexing.publishing import build_generation
from xemplar.model.checkpoint import load

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

AWAY_SECONDS = {"kill": 20.0, "freeze": 8.0}
"""A server that is frozen until its own leases run out gives itself up, and has to be restarted."""

LONGEST_SECONDS = 20.0
"""Limit for a request while the engine is away: it may ask it three times, 5 s each."""


@pytest.fixture
def site(milvus: Milvus, own: SmallStore) -> Site:
    """A store whose files hold an index, too, to compare with."""
    store = Store(own.store.root, milvus.create())
    with open_catalog(store.database_url) as catalog:
        build_generation(store, catalog, load(own.checkpoint))
    images = {sha256(image).hexdigest()[:16]: image for image in own.images}
    return Site(store, own.checkpoint, images)


def xemplar(site: Site, *arguments: str | Path) -> str:
    """Run a command on the site's store and server; return what it printed."""
    options = ("--store", site.store.root, "--index-url", site.store.index_url)
    command = [sys.executable, "-m", "xemplar", *map(str, (*arguments, *options))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def answer(site: Site, image: Path, *options: str) -> list[tuple[str, float]]:
    printed = xemplar(site, "query", image, "--checkpoint", site.checkpoint, "--json", *options)
    return [(case["case_id"], case["similarity"]) for case in json.loads(printed)["neighbours"]]


def test_commands_do_the_same_with_milvus_as_with_files(site: Site, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(next(iter(site.images.values())))
    options = ("-k", "10", "--sex", "F")
    expected = answer(replace(site, store=Store(site.store.root)), image, *options)
    assert answer(site, image, *options) == expected
    assert len(expected) > 2
    ((first, _),) = listed(site)
    xemplar(site, "reindex", "--checkpoint", site.checkpoint, "--factory", "IVF2,Flat")
    second = live(site)
    assert [name for name, _ in listed(site)] == [first, second]
    assert answer(site, image, *options) == expected
    xemplar(site, "generations", "activate", first, "--checkpoint", site.checkpoint)
    assert live(site) == first
    assert answer(site, image, *options) == expected
    xemplar(site, "generations", "prune", "--keep", "1")
    assert [name for name, _ in listed(site)] == [first, second]
    xemplar(site, "generations", "purge", "--checkpoint", site.checkpoint)
    backup, restored = tmp_path / "backup.tar", Store(tmp_path / "restored")
    xemplar(site, "backup", backup, "--checkpoint", site.checkpoint)
    restore = ("restore", backup, "--store", restored.root, "--key", f"{backup}.key")
    subprocess.run([sys.executable, "-m", "xemplar", *map(str, restore)], check=True)
    assert answer(replace(site, store=restored), image, *options) == expected


def test_no_request_fails_and_no_answer_is_wrong_while_generations_change(
    site: Site, tmp_path: Path
) -> None:
    with serving(site, tmp_path) as url, Progress(disable=True) as progress:
        recorder, swaps = load_service(site, url, seconds=20, swaps=4, clients=4, progress=progress)
    assert faults(recorder, swaps, switch_seconds=PATIENCE, searchable_seconds=PATIENCE) == []
    assert [swap.way for swap in swaps] == ["forward", "back"] * 2
    assert {"query", "query, filtered", "similar", "upload"} <= {
        one.kind for one in recorder.samples
    }


@pytest.mark.parametrize("how", AWAY_SECONDS)
def test_an_engine_away_is_told_and_missed_no_longer_than_it_is_away(
    milvus: Milvus, site: Site, tmp_path: Path, how: str
) -> None:
    recorder = Recorder(site.images)
    service = Service(site.store, site.checkpoint, tmp_path / "service.log", 0, **NEVER_BUSY)
    try:
        service.wait_until_ready()
        with clients_asking(service.url, recorder, clients=2, pause=0.05):
            time.sleep(3)
            down = time.monotonic()
            {"kill": milvus.kill, "freeze": milvus.freeze}[how]()
            try:
                time.sleep(AWAY_SECONDS[how])
                healthy = httpx2.get(f"{service.url}/healthz")
                unready = httpx2.get(f"{service.url}/readyz", timeout=30)
            finally:
                {"kill": milvus.start, "freeze": milvus.thaw}[how]()
            # a killed one loads its collections again when its own lease has run out, 30 s later
            wait_until(lambda: httpx2.get(f"{service.url}/readyz", timeout=30).is_success)
            up = time.monotonic()
            time.sleep(5)
        with httpx2.Client(base_url=service.url, timeout=30) as http:
            recorder.check_acknowledged(http)
    finally:
        service.stop()
    assert healthy.is_success
    assert unready.status_code == 503
    assert "retry-after" in unready.headers
    assert recorder.wrong == []
    before = [one for one in recorder.samples if one.ended < down]
    away = [one for one in recorder.samples if one.ended >= down and one.began < up]
    after = [one for one in recorder.samples if one.began >= up]
    assert [odd(one) for one in (*before, *after) if not one.ok] == []
    assert {one.kind for one in after} >= {"query"}
    assert [odd(one) for one in away if not (one.ok or one.refused_with_retry_after)] == []
    assert any(one.refused_with_retry_after for one in away)
    assert "index engine does not answer" in next(one.detail for one in away if not one.ok)
    assert [odd(one) for one in away if one.seconds > LONGEST_SECONDS] == []


def listed(site: Site) -> list[tuple[str, bool]]:
    """Return (name, whether it is live) of all generations, as the command lists them."""
    rows = [line.split() for line in xemplar(site, "generations", "list").splitlines()[1:]]
    return [(row[1], True) if row[0] == "live" else (row[0], False) for row in rows if row]


def live(site: Site) -> str:
    (name,) = [name for name, is_live in listed(site) if is_live]
    return name


def odd(sample: Sample) -> str:
    return f"{sample.kind}: {sample.status} after {sample.seconds:.1f} s: {sample.detail}"


def wait_until(condition: Callable[[], Any], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
