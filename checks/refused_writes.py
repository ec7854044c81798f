"""Every answer is true while nothing can be written, and a restore is whole or not at all.

- a disk is filled up under a store that is served, and given room again;
- a store is served from a read-only file system;
- the catalog's PostgreSQL is stopped, and becomes a standby, as after a failover;
- a restore is killed at random moments (`kill -9`), into SQLite and into PostgreSQL.

Each change that is asked for meanwhile must have been done exactly where that is said; each refusal
names its cause, with its own status; commands end with one line; readiness tells. What was
acknowledged is there afterwards, and all goes on without a restart.

    python checks/refused_writes.py
    python checks/refused_writes.py --only full --only read-only
    python checks/refused_writes.py --only restore --kills 50

Needs root (it mounts a disk of its own) and `pip install 'xemplar[dev]'`, which brings a
PostgreSQL; what cannot be had here is skipped, and said to be. It took three minutes on two busy
cores; `tests/app/test_refused_writes.py` does a part of it in seconds.
"""

import argparse
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from checks.common import Process, Service, phantoms, save_tiny_checkpoint, verdict
from checks.cut_restores import cut_restores
from checks.disk import NoDisk, small_disk
from checks.postgres import NoPostgres, Postgres
from checks.served import Site, phantom_site
from checks.truthful import Trial, commands, wait_until
from xemplar.store import Store

FILMS = 12
DISK_MEGABYTES = 24
FULL = {"StorageFull": 507, "PicturesRemain": 503}
READ_ONLY = {"ReadOnlyStorage": 503}
AWAY = {"DatabaseUnreachable": 503}


def trial(service: Service, site: Site, kinds: dict[str, int], cause: str) -> Trial:
    """A trial on a service of phantoms."""
    return Trial(service.url, dict(site.films), phantoms(5000, 3), kinds, cause)


def full_disk(folder: Path, run_commands: bool = True) -> list[str]:
    """Fill the disk below a store that is served, and give it room again."""
    site = phantom_site(folder, FILMS)
    other = save_tiny_checkpoint(folder / "other.safetensors", seed=1)
    backup = Process(folder / "log", "backup", folder / "backup.tar", "--store", site.store.root)
    backup.wait()
    with small_disk(DISK_MEGABYTES) as disk:
        store = Store(disk.root / "store")
        shutil.copytree(site.store.root, store.root)
        shutil.copy(folder / "backup.tar", disk.root.parent / "backup.tar")
        service = Service(store, site.checkpoint, folder / "service.log")
        try:
            service.wait_until_ready()
            disk.fill()
            one = trial(service, site, FULL, "no room")
            one.run()
            one.told(refused=True)
            if run_commands:
                for command in commands(store.root, other, folder / "phantoms"):
                    one.refuses(str(command[0]), folder / "commands.log", *command)
            disk.free()
            one.told(refused=False)
            one.films = dict(list(site.films.items())[1:])
            one.kinds = {}
            one.removal()
            one.new_case()
        finally:
            service.stop()
            (disk.root.parent / "backup.tar").unlink()
    return one.faults


def read_only(folder: Path, run_commands: bool = True) -> list[str]:
    """Serve a store from a read-only file system, then mount that writable."""
    site = phantom_site(folder, FILMS)
    other = save_tiny_checkpoint(folder / "other.safetensors", seed=1)
    with small_disk(DISK_MEGABYTES) as disk:
        store = Store(disk.root / "store")
        shutil.copytree(site.store.root, store.root)
        disk.remount("ro")
        service = Service(store, site.checkpoint, folder / "service.log")
        try:
            service.wait_until_ready()
            one = trial(service, site, READ_ONLY, "read-only")
            one.told(refused=True)
            one.run()
            if run_commands:
                for command in commands(store.root, other, folder / "phantoms"):
                    if command[0] != "restore":
                        one.refuses(str(command[0]), folder / "commands.log", *command)
            disk.remount("rw")
            one.told(refused=False)
            one.kinds = {}
            one.removal()
            one.new_case()
        finally:
            service.stop()
    return one.faults


def database(folder: Path) -> list[str]:
    """Stop the catalog's PostgreSQL, start it as a standby, and promote that."""
    with Postgres() as server:
        url = server.create("xemplar")
        site = phantom_site(folder, FILMS, url)
        settings = {"XEMPLAR_DATABASE_URL": url}
        service = Service(site.store, site.checkpoint, folder / "service.log", 0, **settings)
        try:
            service.wait_until_ready()
            one = trial(service, site, AWAY, "does not answer")
            case_id = next(iter(site.films))
            server.stop()
            answer = one.http.delete(f"/cases/{case_id}")
            if answer.status_code != 503 or "(Remove a case) failed" not in answer.text:
                one.faults.append(f"removal, server stopped: {answer.text[:300]}")
            if one.http.get("/readyz").is_success:
                one.faults.append("ready without a database")
            server.start()
            if not wait_until(lambda: one.http.get(f"/cases/{case_id}").is_success):
                one.faults.append("the case is gone, though its removal failed")
            server.stand_by()
            one.told(refused=True)
            one.kinds, one.cause = READ_ONLY, "read-only"
            one.run()
            one.refuses(
                "keys",
                folder / "commands.log",
                *("keys", "create", "check", "--role", "reader", "--database", url),
            )
            server.promote()
            one.told(refused=False)
            one.kinds = {}
            one.removal()
            one.new_case()
        finally:
            service.stop()
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
        "restore": lambda folder: cut_restores(folder, FILMS, asked.kills, chance),
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
