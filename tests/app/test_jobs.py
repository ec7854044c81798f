"""Jobs over HTTP: started here, done by a worker, and the service takes over what it published."""

import time

from fastapi.testclient import TestClient

from tests.agreement import wait_until
from tests.app.asking import ask, problem
from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.catalog import open_catalog
from xemplar.model.checkpoint import load
from xemplar.operations.jobs import Jobs


def test_a_reindex_is_started_and_seen(own_client: TestClient, own: SmallStore) -> None:
    response = own_client.post("/jobs/reindex")
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert (job["kind"], job["state"], job["total"]) == ("reindex", "queued", None)
    assert job["parameters"] == {"checkpoint": load(own.checkpoint).digest, "factory": ""}
    assert own_client.get(f"/jobs/{job['id']}").json() == job
    assert own_client.get("/jobs").json() == {"jobs": [job]}
    with open_catalog(own.store.database_url) as catalog:
        assert Jobs(catalog.engine).waiting() == (job["id"],)


def test_progress_result_and_log_are_told(own_client: TestClient, own: SmallStore) -> None:
    job_id = own_client.post("/jobs/reindex", json={"checkpoint": None}).json()["id"]
    with open_catalog(own.store.database_url) as catalog:
        jobs = Jobs(catalog.engine)
        running = jobs.claim(job_id, "one")
        assert running is not None
        time.sleep(0.01)
        jobs.renew(running, 5, 20, ("half way",))
        told = own_client.get(f"/jobs/{job_id}").json()
        assert (told["state"], told["done"], told["total"]) == ("running", 5, 20)
        assert told["expected_end"] > told["started_at"]
        assert told["log"][-1].endswith("half way")
        jobs.finish(running, {"generation": "new"})
    done = own_client.get(f"/jobs/{job_id}").json()
    assert (done["state"], done["result"], done["expected_end"]) == (
        "done",
        {"generation": "new"},
        None,
    )


def test_a_job_is_cancelled(own_client: TestClient) -> None:
    job_id = own_client.post("/jobs/reindex").json()["id"]
    for _ in range(2):
        cancelled = own_client.post(f"/jobs/{job_id}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")


def test_what_is_no_job_is_refused(own_client: TestClient) -> None:
    problem(own_client.get("/jobs/0123456789abcdef"), 404, "NotFound")
    problem(own_client.post("/jobs/0123456789abcdef/cancel"), 404, "NotFound")
    problem(own_client.get("/jobs/nothing"), 404, "Http")
    assert own_client.get("/jobs/reindex").headers["allow"] == "POST"
    path = {"checkpoint": "/etc/passwd"}
    problem(own_client.post("/jobs/reindex", json=path), 422, "InvalidRequest")
    problem(own_client.post("/jobs/reindex", json={"colour": "red"}), 422, "InvalidRequest")


def test_a_worker_does_it_and_the_service_takes_it_over(
    own_client: TestClient, own: SmallStore
) -> None:
    from xemplar_indexer.cli_jobs import _reindexed
    from xemplar_indexer.worker import Worker

    image = encoded(drawn_image(70))
    own_client.post("/cases", data={"source": "clinic"}, files={"image": image})
    before = ask(own_client, image)
    job_id = own_client.post("/jobs/reindex").json()["id"]
    with open_catalog(own.store.database_url) as catalog:
        args = (own.store, catalog, own.checkpoint, "float32", 1)
        worker = Worker(
            Jobs(catalog.engine),
            {"reindex": lambda job, watch: _reindexed(job, watch, *args)},
        )
        worker.run(job_id)
    job = own_client.get(f"/jobs/{job_id}").json()
    assert (job["state"], job["error"]) == ("done", None)
    assert job["result"]["cases"] == CASES + 1
    wait_until(lambda: ask(own_client, image)["generation"] == job["result"]["generation"])
    after = ask(own_client, image)
    assert after["neighbours"] == [
        near | {key: after["neighbours"][n][key] for key in near if key.endswith("_url")}
        for n, near in enumerate(before["neighbours"])
    ]
