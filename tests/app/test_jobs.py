"""Jobs over HTTP: started here, done by a worker, and the service takes over what it published."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app, open_retriever
from app.settings import Settings
from tests.app.asking import ask, problem
from tests.films import drawn_film, encoded
from tests.stores import CASES, SmallStore, small_store
from xemplar.catalog import open_catalog
from xemplar.catalog.jobs import Jobs
from xemplar.checkpoint import load
from xemplar.encoder import Precision
from xemplar.jobqueue import JobQueue


@pytest.fixture
def own(tmp_path: Path, tiny_checkpoint: Path) -> SmallStore:
    return small_store(tmp_path, tiny_checkpoint)


@pytest.fixture
def service(own: SmallStore) -> Iterator[TestClient]:
    settings = Settings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    with TestClient(create_app(settings, open_retriever(settings))) as client:
        yield client


def test_a_reindex_is_started_and_seen(service: TestClient, own: SmallStore) -> None:
    response = service.post("/jobs/reindex")
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert (job["kind"], job["state"], job["total"]) == ("reindex", "queued", None)
    assert job["parameters"] == {"checkpoint": load(own.checkpoint).digest, "factory": ""}
    assert service.get(f"/jobs/{job['id']}").json() == job
    assert service.get("/jobs").json() == {"jobs": [job]}
    queue = JobQueue(own.store)
    assert queue.huey.storage.queue_size() == 1
    queue.close()


def test_progress_result_and_log_are_told(service: TestClient, own: SmallStore) -> None:
    job_id = service.post("/jobs/reindex", json={"checkpoint": None}).json()["id"]
    with open_catalog(own.store.database_url) as catalog:
        jobs = Jobs(catalog.engine)
        running = jobs.claim(job_id, "one")
        assert running is not None
        time.sleep(0.01)
        jobs.renew(running, 5, 20, ("half way",))
        told = service.get(f"/jobs/{job_id}").json()
        assert (told["state"], told["done"], told["total"]) == ("running", 5, 20)
        assert told["expected_end"] > told["started_at"]
        assert told["log"][-1].endswith("half way")
        jobs.finish(running, {"generation": "new"})
    done = service.get(f"/jobs/{job_id}").json()
    assert (done["state"], done["result"], done["expected_end"]) == (
        "done",
        {"generation": "new"},
        None,
    )


def test_a_job_is_cancelled(service: TestClient) -> None:
    job_id = service.post("/jobs/reindex").json()["id"]
    for _ in range(2):
        cancelled = service.post(f"/jobs/{job_id}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")


def test_what_is_no_job_is_refused(service: TestClient) -> None:
    problem(service.get("/jobs/0123456789abcdef"), 404, "NotFound")
    problem(service.post("/jobs/0123456789abcdef/cancel"), 404, "NotFound")
    problem(service.get("/jobs/nothing"), 422, "InvalidRequest")
    path = {"checkpoint": "/etc/passwd"}
    problem(service.post("/jobs/reindex", json=path), 422, "InvalidRequest")
    problem(service.post("/jobs/reindex", json={"colour": "red"}), 422, "InvalidRequest")


def test_a_worker_does_it_and_the_service_takes_it_over(
    service: TestClient, own: SmallStore
) -> None:
    from indexer.cli_jobs import _reindexed
    from indexer.worker import Worker

    film = encoded(drawn_film(70))
    service.post("/cases", data={"source": "clinic"}, files={"image": film})
    before = ask(service, film)
    job_id = service.post("/jobs/reindex").json()["id"]
    with open_catalog(own.store.database_url) as catalog:
        args = (own.store, catalog, own.checkpoint, "float32", 1)
        worker = Worker(
            Jobs(catalog.engine),
            own.store,
            "",
            {"reindex": lambda job, watch: _reindexed(job, watch, *args)},
        )
        worker.run(job_id)
    job = service.get(f"/jobs/{job_id}").json()
    assert (job["state"], job["error"]) == ("done", None)
    assert job["result"]["cases"] == CASES + 1
    deadline = time.monotonic() + 20
    while (after := ask(service, film))["generation"] != job["result"]["generation"]:
        assert time.monotonic() < deadline
    assert after["neighbours"] == [
        near | {key: after["neighbours"][n][key] for key in near if key.endswith("_url")}
        for n, near in enumerate(before["neighbours"])
    ]
