"""Every answer is true while nothing can be written, and a restore is whole or not at all.

- a disk is filled up under a store that is served, and given room again;
- a store is served from a read-only file system;
- the catalog's PostgreSQL is stopped, and becomes a standby, as after a failover;
- a restore is killed at random moments (`kill -9`), into SQLite and into PostgreSQL.

Each change that is asked for meanwhile must have been done exactly where that is said; each refusal
names its cause, with its own status; commands end with one line; readiness tells. What was
acknowledged is there afterwards, and all goes on without a restart.

    python -m tests.system.refused_writes
    python -m tests.system.refused_writes --only full --only read-only
    python -m tests.system.refused_writes --only restore --kills 50

Needs root (it mounts a disk of its own) and `pip install --group dev`, which brings a
PostgreSQL; what cannot be had here is skipped, and said to be. It took four minutes on two busy
cores; `tests/app/test_refused_writes.py` does a part of it in seconds.
"""

import argparse
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from tests.system.common import Process, Service, phantoms, save_tiny_checkpoint, verdict
from tests.system.cut_restores import cut_restores
from tests.system.disk import NoDisk, small_disk
from tests.system.postgres import NoPostgres, Postgres
from tests.system.served import Site, phantom_site
from tests.system.truthful import Command, Trial, writing_commands
from xemplar.archive.store import Store

IMAGES = 12
DISK_MEGABYTES = 24
FULL = {"StorageFull": 507, "PicturesRemain": 503}
READ_ONLY = {"ReadOnlyStorage": 503}


@contextmanager
def trial(
    store: Store, site: Site, folder: Path, kinds: dict[str, int], cause: str, **settings: str
) -> Iterator[Trial]:
    """A trial of a service on a store that holds what a site holds."""
    service = Service(store, site.checkpoint, folder / "service.log", 0, **settings)
    try:
        service.wait_until_ready()
        new = phantoms(5000, 1)
        with Trial(service.url, dict(site.images), new, kinds, cause) as one:
            yield one
    finally:
        service.stop()


def full_disk(folder: Path, run_commands: bool = True) -> list[str]:
    """Fill the disk below a store that is served, and give it room again."""
    site = phantom_site(folder, IMAGES)
    with small_disk(DISK_MEGABYTES) as disk:
        store = Store(disk.root / "store")
        shutil.copytree(site.store.root, store.root)
        with trial(store, site, folder, FULL, "no room") as one:
            if run_commands:
                command = ("backup", folder / "backup.tar", "--store", store.root)
                Process(folder / "commands.log", *command).wait()
            disk.fill()
            one.run()
            one.told(refused=True)
            if run_commands:
                other = save_tiny_checkpoint(folder / "other.safetensors", seed=1)
                into = disk.root / "second"
                restore: Command = ("restore", folder / "backup.tar", "--store", into)
                for refused in (*writing_commands(store.root, other, folder), restore):
                    one.refuses(folder / "commands.log", *refused)
            disk.free()
            one.goes_on()
    return one.faults


def read_only(folder: Path, run_commands: bool = True) -> list[str]:
    """Serve a store from a read-only file system, then mount that writable."""
    site = phantom_site(folder, IMAGES)
    with small_disk(DISK_MEGABYTES) as disk:
        store = Store(disk.root / "store")
        shutil.copytree(site.store.root, store.root)
        disk.remount("ro")
        with trial(store, site, folder, READ_ONLY, "read-only") as one:
            one.told(refused=True)
            one.run()
            if run_commands:
                other = save_tiny_checkpoint(folder / "other.safetensors", seed=1)
                for command in writing_commands(store.root, other, folder):
                    one.refuses(folder / "commands.log", *command)
                elsewhere = ("backup", folder / "backup.tar", "--store", store.root)
                if Process(folder / "commands.log", *elsewhere).wait() != 0:
                    one.faults.append("a store that can only be read cannot be backed up")
            disk.remount("rw")
            one.goes_on()
    return one.faults


def database(folder: Path) -> list[str]:
    """Stop the catalog's PostgreSQL, start it as a standby, and promote that."""
    with Postgres() as server:
        url = server.create("xemplar")
        site = phantom_site(folder, IMAGES, url)
        settings = {"XEMPLAR_DATABASE_URL": url}
        with trial(site.store, site, folder, READ_ONLY, "read-only", **settings) as one:
            server.stop()
            one.away()
            server.start()
            one.told(refused=False)
            one.removal_failed()
            server.stand_by()
            one.told(refused=True)
            one.run()
            command = ("keys", "create", "check", "--role", "reader", "--database", url)
            one.refuses(folder / "commands.log", *command)
            server.promote()
            one.goes_on()
    return one.faults


def main() -> int:
    """Try all, and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", help="full, read-only, database, restore")
    parser.add_argument("--kills", type=int, default=10, help="of restores, for each database")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of these")
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    trials: dict[str, Callable[[Path], list[str]]] = {
        "full": full_disk,
        "read-only": read_only,
        "database": database,
        "restore": lambda folder: cut_restores(folder, IMAGES, asked.kills, chance),
    }
    console, faults = Console(highlight=False), list[str]()
    for name in asked.only or trials:
        with TemporaryDirectory(prefix="xemplar-refused-") as folder:
            try:
                found = trials[name](Path(folder))
            except (NoDisk, NoPostgres) as reason:
                console.print(f"{name}: skipped: {reason}", markup=False)
                continue
        console.print(f"{name}: {'as it should be' if not found else f'{len(found)} faults'}")
        faults += [f"{name}: {one}" for one in found]
    return verdict(faults)


if __name__ == "__main__":
    sys.exit(main())
