"""Kills restores: their remains must be unusable, and the next restore must succeed."""

import random
import shutil
import time
from pathlib import Path

from tests.system.common import Process
from tests.system.postgres import NoPostgres, Postgres
from tests.system.served import Site, phantom_site
from xemplar.archive.store import Store
from xemplar.errors import NothingIndexed
from xemplar.index import current


def cut_restores(folder: Path, images: int, kills: int, chance: random.Random) -> list[str]:
    """Kill restores at random moments, into SQLite and, if available, into PostgreSQL.

    Args:
        folder: to work in.
        images: number of images in the backup.
        kills: number for each kind of database.
        chance: draws the moments.

    Returns:
        Faults.
    """
    site = phantom_site(folder, images)
    archive = folder / "backup.tar"
    began = time.monotonic()
    command = ("backup", archive, "--store", site.store.root)
    if Process(folder / "backup.log", *command).wait() != 0:
        return ["the backup failed"]
    seconds = time.monotonic() - began
    faults = []
    for kill in range(kills):
        target = Store(folder / f"restored-{kill}")
        faults += _cut(site, archive, target, "", chance.uniform(0, 1.2 * seconds))
        shutil.rmtree(target.root)
    try:
        with Postgres() as server:
            for kill in range(kills):
                target, url = Store(folder / f"restored-{kill}"), server.create(f"restored_{kill}")
                faults += _cut(site, archive, target, url, chance.uniform(0, 1.2 * seconds))
                shutil.rmtree(target.root)
    except NoPostgres:
        pass
    return faults


def _cut(site: Site, archive: Path, target: Store, database: str, after: float) -> list[str]:
    """Kill a restore after ``after`` seconds, check its remains, and restore again."""
    log = archive.parent / "restore.log"
    where = ("--store", target.root, *(("--database", database) if database else ()))
    one = Process(log, "restore", archive, *where)
    time.sleep(after)
    one.kill()
    try:
        current(target)
    except NothingIndexed:
        again = Process(log, "restore", archive, *where)
        if again.wait() != 0:
            return [f"killed after {after:.2f} s, cannot be restored again: {again.said[-500:]}"]
    image = archive.parent / "image.png"
    image.write_bytes(next(iter(site.images.values())))
    asked = Process(log, "query", image, "--json", *where)
    found = asked.wait() == 0 and next(iter(site.images)) in asked.said
    return [] if found else [f"killed after {after:.2f} s, then no answer: {asked.said[-500:]}"]
