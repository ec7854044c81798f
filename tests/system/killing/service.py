"""Kills the service while images are uploaded and deleted."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Event

import httpx2

from tests.system.common import Process, Service
from tests.system.killing.outcome import KillOutcome
from tests.system.killing.reference_model import ReferenceClient, ReferenceModel, phantom_model
from xemplar.archive.store import Store
from xemplar.retrieval.ingest import ORPHAN_GRACE_SECONDS

CLIENTS = 3
BUSY_SECONDS = 1.5
"""Maximum time of client activity before a kill."""

START_EVERY = 8
"""Every how many kills one hits the starting service."""


def kill_service(
    folder: Path, kills: int, seed: int, on_kill: Callable[[int], None], images: int = 120
) -> KillOutcome:
    """Kill and restart the service repeatedly, and check every case.

    Args:
        folder: empty working folder.
        kills: number of kills.
        seed: of all randomness.
        on_kill: called with the number of kills so far.
        images: number indexed beforehand; half as many are uploaded and deleted.
    """
    random, outcome = Random(seed), KillOutcome("service")
    store, checkpoint, model = phantom_model(folder, images)
    service = Service(store, checkpoint, folder / "service.log")
    clients = [ReferenceClient(service.url, model, outcome) for _ in range(CLIENTS)]
    try:
        service.wait_until_ready()
        while outcome.kills < kills:
            _kill_at_work(service, clients, model, random, outcome)
            service = _again(service, store, checkpoint)
            if outcome.kills % START_EVERY == 0 and outcome.kills < kills:
                time.sleep(random.uniform(0, BUSY_SECONDS))
                service.kill()
                outcome.kills += 1
                outcome.phases["starting"] += 1
                service = _again(service, store, checkpoint)
            service.wait_until_ready()
            for client in clients:
                client.settle()
            clients[0].ask_some(random, 5)
            on_kill(outcome.kills)
        for image in range(len(model.images)):
            clients[0].look(image)
            clients[0].ask(image)
        _look_at_files(store, checkpoint, model, outcome)
    finally:
        service.kill()
        for client in clients:
            client.close()
    return outcome


def _again(service: Service, store: Store, checkpoint: Path) -> Service:
    return Service(store, checkpoint, service.log, service.port)


def _kill_at_work(
    service: Service,
    clients: list[ReferenceClient],
    model: ReferenceModel,
    random: Random,
    outcome: KillOutcome,
) -> None:
    """Kill the service while each client changes its own images."""
    killed = Event()

    def work(client: ReferenceClient, own: Random, place: int) -> None:
        images = range(place, len(model.images), CLIENTS)
        try:
            while True:
                client.change(own.choice(images))
        except httpx2.TransportError as error:
            there = f"the service was not killed, and did not answer: {error!r}"
            outcome.check("requests cut off by a kill", killed.is_set(), there)

    with ThreadPoolExecutor(CLIENTS) as threads:
        works = [
            threads.submit(work, client, Random(random.random()), place)
            for place, client in enumerate(clients)
        ]
        time.sleep(random.uniform(0.05, BUSY_SECONDS))
        killed.set()
        service.kill()
        for one in works:
            one.result()
    outcome.kills += 1
    outcome.phases.update(f"during {client.doing}" for client in clients)


def _look_at_files(
    store: Store, checkpoint: Path, model: ReferenceModel, outcome: KillOutcome
) -> None:
    """Check that a reindex deletes files left by kills, once they are old enough."""
    before = time.time() - ORPHAN_GRACE_SECONDS - 1
    for path in store.root.rglob("*"):
        os.utime(path, (before, before))
    options = ("--store", store.root, "--checkpoint", checkpoint, "--precision", "float32")
    process = Process(store.root.parent / "reindex.log", "reindex", *options)
    outcome.check("reindexes at the end", process.wait() == 0, process.said[-2000:])
    there = {model.names[image] for image in model.present}
    left = [
        path.name for path in store.media.rglob("*.*") if path.name.strip(".")[:16] not in there
    ]
    left += [path.name for path in store.generations.glob(".*")]
    outcome.check("files of no case gone", not left, f"left: {left[:5]}")
