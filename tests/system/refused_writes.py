"""Tests that answers stay truthful while writes fail, and that restores are atomic.

- the disk of a served store is filled, then freed;
- a store is served from a read-only file system;
- the catalog's PostgreSQL is stopped, then becomes a standby, as after a failover;
- a restore is killed at random moments (`kill -9`), into SQLite and into PostgreSQL.

A change must have happened exactly if the service says so; each refusal must name its cause and
have its own status; commands must fail with one line; readiness must report the problem.
Acknowledged data must survive, and everything must recover without a restart.

    python -m tests.system.refused_writes
    python -m tests.system.refused_writes --only full --only read-only
    python -m tests.system.refused_writes --only restore --kills 50

Needs root (it mounts a disk) and `pip install --group dev`, which includes PostgreSQL; trials that
cannot run here are reported as skipped. Takes four minutes on two busy cores;
`tests/app/test_refused_writes.py` runs a part of it in seconds.
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
    """Serve a store with a site's content, and yield a trial of the service."""
    service = Service(store, site.checkpoint, folder / "service.log", 0, **settings)
    try:
        service.wait_until_ready()
        new = phantoms(5000, 1)
        with Trial(service.url, dict(site.images), new, kinds, cause) as one:
            yield one
    finally:
        service.stop()


def full_disk(folder: Path, run_commands: bool = True) -> list[str]:
    """Fill the disk of a served store, then free it."""
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
            one.readiness_reports(refused=True)
            if run_commands:
                other = save_tiny_checkpoint(folder / "other.safetensors", seed=1)
                into = disk.root / "second"
                restore: Command = ("restore", folder / "backup.tar", "--store", into)
                for refused in (*writing_commands(store.root, other, folder), restore):
                    one.refuses(folder / "commands.log", *refused)
            disk.free()
            one.recovers()
    return one.faults


def read_only(folder: Path, run_commands: bool = True) -> list[str]:
    """Serve a store from a read-only file system, then make it writable."""
    site = phantom_site(folder, IMAGES)
    with small_disk(DISK_MEGABYTES) as disk:
        store = Store(disk.root / "store")
        shutil.copytree(site.store.root, store.root)
        disk.remount("ro")
        with trial(store, site, folder, READ_ONLY, "read-only") as one:
            one.readiness_reports(refused=True)
            one.run()
            if run_commands:
                other = save_tiny_checkpoint(folder / "other.safetensors", seed=1)
                for command in writing_commands(store.root, other, folder):
                    one.refuses(folder / "commands.log", *command)
                elsewhere = ("backup", folder / "backup.tar", "--store", store.root)
                if Process(folder / "commands.log", *elsewhere).wait() != 0:
                    one.faults.append("a store that can only be read cannot be backed up")
            disk.remount("rw")
            one.recovers()
    return one.faults


def database(folder: Path) -> list[str]:
    """Stop the catalog's PostgreSQL, restart it as a standby, then promote it."""
    with Postgres() as server:
        url = server.create("xemplar")
        site = phantom_site(folder, IMAGES, url)
        settings = {"XEMPLAR_DATABASE_URL": url}
        with trial(site.store, site, folder, READ_ONLY, "read-only", **settings) as one:
            server.stop()
            one.without_database()
            server.start()
            one.readiness_reports(refused=False)
            one.removal_failed()
            server.stand_by()
            one.readiness_reports(refused=True)
            one.run()
            command = ("keys", "create", "check", "--role", "reader", "--database", url)
            one.refuses(folder / "commands.log", *command)
            server.promote()
            one.recovers()
    return one.faults


def main() -> int:
    """Run all trials and report."""
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
