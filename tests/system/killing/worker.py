"""Kills the worker of a reindex job while a client queries, uploads and deletes."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import httpx2

from tests.system.common import Process, Service, save_tiny_checkpoint
from tests.system.killing.outcome import KillOutcome
from tests.system.killing.reference_model import ReferenceClient, ReferenceModel, phantom_model
from xemplar.archive.store import Store
from xemplar.model.checkpoint import keep, load

LEASE_SECONDS = 3
KILLS_OF_A_JOB = 2
"""A job is given up by design after killing three workers; that is not tested here."""

START_EVERY = 6
"""Every how many kills one hits a worker that starts or waits for the lease to expire."""

PAUSE = 0.05
"""Seconds between two rounds of the client, so that the worker gets CPU time."""

SOON = 120.0
SWITCH_SECONDS = 20.0
"""Seconds within which the service must switch to a new generation; 2 on an idle machine."""

PHASES = {
    "is live": "published, not yet told",
    "building an index": "building, checking, publishing",
    "images to embed": "embedding",
    "attempt": "just begun",
    "listens": "waiting for the lease",
}
"""Log message -> activity that follows, latest first."""


def kill_workers(
    folder: Path, kills: int, seed: int, on_kill: Callable[[int], None], images: int = 120
) -> KillOutcome:
    """Kill workers repeatedly; each job must still finish. Arguments as in `kill_service`."""
    outcome = KillOutcome("worker of a reindex")
    store, checkpoint, model = phantom_model(folder, images)
    service = Service(store, checkpoint, folder / "service.log")
    client = ReferenceClient(service.url, model, outcome)
    http = httpx2.Client(base_url=service.url, timeout=60)
    try:
        service.wait_until_ready()
        killer = _Killer(folder, store, checkpoint, http, model, Random(seed), outcome)
        for _ in range(2):
            killer.do_job(0)  # to measure the duration with a new network and without
        while outcome.kills < kills:
            with _in_use(client, model, Random(seed + outcome.kills), outcome):
                killer.do_job(min(KILLS_OF_A_JOB, kills - outcome.kills))
            client.ask_some(Random(outcome.kills), 5)
            on_kill(outcome.kills)
        for image in range(len(model.images)):
            client.look(image)
            client.ask(image)
    finally:
        service.kill()
        client.close()
        http.close()
    return outcome


@contextmanager
def _in_use(
    client: ReferenceClient, model: ReferenceModel, random: Random, outcome: KillOutcome
) -> Iterator[None]:
    """Run a client continuously."""
    over = Event()

    def work() -> None:
        try:
            while not over.is_set():
                client.ask_some(random, 3)
                client.change(random.randrange(len(model.images)))
                time.sleep(PAUSE)
        except httpx2.TransportError as error:
            outcome.faults.append(f"the service does not answer: {error!r}")

    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        try:
            yield
        finally:
            over.set()
            working.result()


class _Killer:
    """Queues jobs, starts workers and kills them."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        checkpoint: Path,
        http: httpx2.Client,
        model: ReferenceModel,
        random: Random,
        outcome: KillOutcome,
    ) -> None:
        self._folder = folder
        self._store = store
        self._checkpoint = checkpoint
        self._http = http
        self._model = model
        self._random = random
        self._outcome = outcome
        self._jobs = 0
        self._seconds = [0.0, 0.0]  # duration of a job with the same and with a new network

    def do_job(self, kills: int) -> None:
        """Run a job and kill some of its workers; the last one completes it."""
        job = self._queue_job()
        for _ in range(kills):
            worker = self._start()
            try:
                self._wait_for_a_moment(worker)
            finally:
                worker.kill()
            if self._state(job)["finished_at"] is not None:
                self._outcome.checked["workers killed after their job had ended, not counted"] += 1
                break
            self._outcome.kills += 1
            self._outcome.phases[_phase(worker)] += 1
        last = self._start()
        try:
            self._wait(lambda: self._state(job)["finished_at"] is not None, "the job ends")
            if not kills:
                self._seconds[self._jobs % 2] = _seconds_of(self._state(job))
        finally:
            last.kill()
        self._look_at(self._state(job))

    def _queue_job(self) -> str:
        """Queue a reindex job, alternating between a new and the current network."""
        self._jobs += 1
        asked = {}
        if self._jobs % 2:
            path = save_tiny_checkpoint(self._folder / f"{self._jobs}.safetensors", self._jobs)
            new = load(keep(path, self._store))
            self._model.add_checkpoint(new)
            asked = {"checkpoint": new.digest}
        got = self._http.post("/jobs/reindex", json=asked)
        self._outcome.check("jobs ordered", got.is_success, got.text)
        return str(got.json()["id"])

    def _start(self) -> Process:
        options = ("--precision", "float32", "--threads", "1", "--lease", str(LEASE_SECONDS))
        names = ("--store", self._store.root, "--checkpoint", self._checkpoint)
        return Process(self._folder / "worker.log", "worker", *names, *options)

    def _wait_for_a_moment(self, worker: Process) -> None:
        if self._outcome.kills % START_EVERY == START_EVERY - 1:
            time.sleep(self._random.uniform(0, LEASE_SECONDS))
            return
        self._wait(lambda: "attempt" in worker.said, "a worker takes the job")
        time.sleep(self._random.uniform(0, self._seconds[self._jobs % 2]))

    def _look_at(self, job: dict[str, Any]) -> None:
        right = job["state"] == "done"
        if self._outcome.check("jobs done", right, f"{job['state']}: {job['error']} {job['log']}"):
            name = job["result"]["generation"]
            began = time.monotonic()
            while self._ready()["generation"] != name and time.monotonic() < began + SWITCH_SECONDS:
                time.sleep(0.05)
            self._outcome.check(
                "switches to a generation", self._ready()["generation"] == name, f"{name} is not"
            )

    def _state(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = self._http.get(f"/jobs/{job}").raise_for_status().json()
        return found

    def _ready(self) -> dict[str, Any]:
        found: dict[str, Any] = self._http.get("/readyz").raise_for_status().json()
        return found

    def _wait(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SOON
        while not true():
            if time.monotonic() > deadline:
                raise RuntimeError(f"after {SOON:g} s it is still not so that {what}")
            time.sleep(0.005)


def _phase(worker: Process) -> str:
    said = worker.said
    return next((phase for words, phase in PHASES.items() if words in said), "starting")


def _seconds_of(job: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    return (ended - began).total_seconds()
