"""Workers may die at any moment: their jobs are taken up again, by one worker at a time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from xemplar_indexer import worker
from xemplar_indexer.worker import JobWatcher, Worker

from tests.agreement import PATIENCE, wait_until
from tests.stores import CASES, SmallStore, catalog_in
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, open_catalog
from xemplar.errors import DatabaseUnreachable, NothingIndexed
from xemplar.index import current, generations
from xemplar.model.checkpoint import load
from xemplar.operations.jobs import Job, Jobs, JobState


@pytest.fixture
def catalog(store: Store, sqlite_template: Path) -> Iterator[Catalog]:
    with catalog_in(store, sqlite_template) as opened:
        yield opened


@pytest.fixture
def jobs(catalog: Catalog) -> Jobs:
    return Jobs(catalog.engine)


def done(job: Job, watch: JobWatcher) -> Mapping[str, Any]:
    watch.say("hello")
    watch.moved(3, 4)
    watch.confirm()
    return {"answer": 42}


def test_a_job_is_done_and_tells_of_itself(jobs: Jobs) -> None:
    job = jobs.create("sum", {})
    worker = Worker(jobs, {"sum": done})
    assert worker.run(job.id)
    assert not worker.run(job.id)  # it is done already
    ended = jobs.job(job.id)
    assert (ended.state, ended.result, ended.attempts) == (JobState.DONE, {"answer": 42}, 1)
    assert (ended.done, ended.total) == (3, 4)
    assert ended.log[-1].endswith("hello")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NothingIndexed("there are no images"), "NothingIndexed: there are no images"),
        (
            ZeroDivisionError("division by zero"),
            "unexpected error (ZeroDivisionError); the worker's log tells more",
        ),
    ],
)
def test_a_job_that_cannot_be_done_fails(jobs: Jobs, error: Exception, told: str) -> None:
    def failing(job: Job, watch: JobWatcher) -> Mapping[str, Any]:
        raise error

    job = jobs.create("sum", {})
    Worker(jobs, {"sum": failing}).run(job.id)
    assert (jobs.job(job.id).state, jobs.job(job.id).error) == (JobState.FAILED, told)


def test_a_database_that_went_away_leaves_the_job_to_be_taken_up_again(jobs: Jobs) -> None:
    def lost(job: Job, watch: JobWatcher) -> Mapping[str, Any]:
        raise DatabaseUnreachable("gone")

    job = jobs.create("sum", {})
    Worker(jobs, {"sum": lost}).run(job.id)
    assert jobs.job(job.id).state is JobState.RUNNING


def endless(job: Job, watch: JobWatcher) -> Mapping[str, Any]:
    while True:
        watch.moved(1, 2)
        time.sleep(0.01)


def test_a_cancelled_job_stops(jobs: Jobs) -> None:
    job = jobs.create("sum", {})
    thread = Thread(target=Worker(jobs, {"sum": endless}).run, args=(job.id,))
    thread.start()
    wait_until(lambda: jobs.job(job.id).state is JobState.RUNNING)
    jobs.cancel(job.id)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert jobs.job(job.id).state is JobState.CANCELLED


def test_a_worker_that_lost_its_job_publishes_nothing(jobs: Jobs) -> None:
    published = []

    def slow(job: Job, watch: JobWatcher) -> Mapping[str, Any]:
        jobs.release(job)  # as if its lease had lapsed, and another worker had come
        assert jobs.claim(job.id, "other")
        watch.confirm()
        published.append(job)
        return {}

    job = jobs.create("sum", {})
    Worker(jobs, {"sum": slow}).run(job.id)
    assert published == []
    assert (jobs.job(job.id).state, jobs.job(job.id).worker) == (JobState.RUNNING, "other")


@pytest.fixture
def working(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker that looks for jobs all the time."""
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    over, one = Event(), Worker(jobs, {"sum": done})
    thread = Thread(target=one.work, args=(over,))
    thread.start()
    yield one
    over.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_jobs_that_wait_are_found_and_done(jobs: Jobs, working: Worker) -> None:
    created = [jobs.create("sum", {}) for _ in range(3)]
    wait_until(lambda: all(jobs.job(job.id).state is JobState.DONE for job in created))
    assert {jobs.job(job.id).worker for job in created} == {working.name}
    assert jobs.waiting() == ()


def test_after_looks_that_fail_jobs_are_found_and_the_cause_was_told_once(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.01)
    job, over, looks, look = jobs.create("sum", {}), Event(), [], jobs.waiting

    def waiting() -> tuple[str, ...]:
        looks.append(1)
        if len(looks) < 4:
            raise DatabaseUnreachable("gone")
        if jobs.job(job.id).state is JobState.DONE:
            over.set()
        return look()

    monkeypatch.setattr(jobs, "waiting", waiting)
    Worker(jobs, {"sum": done}).work(over)
    assert jobs.job(job.id).state is JobState.DONE
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "queued jobs cannot be read: gone"
    ]


# ---- whole processes -------------------------------------------------------------------------

SLOW = """
import sys, time
import xemplar_indexer.reindex
build = xemplar_indexer.reindex.build_generation
def slow(*args, source, **more):
    def slowly():
        for batch in source():
            print("building", flush=True)
            time.sleep(float(sys.argv.pop(1)) if len(sys.argv) > 1 else 0)
            yield batch
    return build(*args, source=slowly, **more)
xemplar_indexer.reindex.build_generation = slow
from xemplar_indexer.cli_jobs import worker
import typer
seconds, sys.argv[1:] = sys.argv[1:2], []
from pathlib import Path
import os
sys.argv += seconds
worker(Path(os.environ["OWN"]), Path(os.environ["NETWORK"]), precision="float32", database="",
       threads=1, lease=3)
"""


@pytest.fixture
def started(own: SmallStore) -> "Iterator[Callable[[float], subprocess.Popen[str]]]":
    """Starts a worker whose first reading of the embeddings takes so many seconds."""
    running: list[subprocess.Popen[str]] = []
    env = {name: value for name, value in os.environ.items() if not name.startswith("XEMPLAR")}
    env |= {"OWN": str(own.store.root), "NETWORK": str(own.checkpoint)}

    def start(seconds: float) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", SLOW, str(seconds)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env))
        return running[-1]

    yield start
    for one in running:  # a test that failed may have left one
        one.kill()
        one.wait()
        assert one.stdout
        one.stdout.close()


def ended(one: "subprocess.Popen[str]", how: signal.Signals) -> int:
    one.send_signal(how)
    code = one.wait(PATIENCE)
    assert one.stdout
    one.stdout.close()
    return code


def reindex(jobs: Jobs, own: SmallStore) -> Job:
    return jobs.create("reindex", {"checkpoint": load(own.checkpoint).digest, "factory": ""})


def test_a_job_in_the_queue_is_done(
    own: SmallStore, started: "Callable[[float], subprocess.Popen[str]]"
) -> None:
    with open_catalog(own.store.database_url) as catalog:
        jobs = Jobs(catalog.engine)
        job = reindex(jobs, own)
        one = started(0)
        wait_until(lambda: jobs.job(job.id).state is JobState.DONE)
        assert jobs.waiting() == ()
        assert ended(one, signal.SIGINT) == 0
        assert len(generations(own.store)) == 2


def test_a_worker_that_is_interrupted_ends_its_job_and_begins_no_other(
    own: SmallStore, started: "Callable[[float], subprocess.Popen[str]]"
) -> None:
    with open_catalog(own.store.database_url) as catalog:
        jobs = Jobs(catalog.engine)
        first, second = reindex(jobs, own), reindex(jobs, own)
        one = started(0.5)
        assert one.stdout
        assert one.stdout.readline() == "building\n"
        assert ended(one, signal.SIGINT) == 0
        assert jobs.job(first.id).state is JobState.DONE
        assert jobs.job(second.id).state is JobState.QUEUED


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_goes_on_after_its_worker_was_ended(
    own: SmallStore, started: "Callable[[float], subprocess.Popen[str]]", how: signal.Signals
) -> None:
    live = current(own.store)
    with open_catalog(own.store.database_url) as catalog:
        jobs = Jobs(catalog.engine)
        job = reindex(jobs, own)
        first = started(60)
        assert first.stdout
        assert first.stdout.readline() == "building\n"
        code = ended(first, how)
        assert (code == 0) == (how == signal.SIGTERM)
        assert current(own.store) == live
        assert len(generations(own.store)) == 1
        if how == signal.SIGTERM:
            assert jobs.job(job.id).state is JobState.QUEUED
        second = started(0)
        wait_until(lambda: jobs.job(job.id).state is JobState.DONE)
        ended(second, signal.SIGINT)
        over = jobs.job(job.id)
        assert over.attempts == (2 if how == signal.SIGKILL else 1)
        assert over.result is not None
        assert (over.result["generation"], over.result["cases"]) == (current(own.store), CASES)
        assert len(generations(own.store)) == 2
