"""The service decodes images in processes of its own: none of them can stop it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.settings import ServiceSettings

from tests.agreement import PATIENCE
from tests.app.asking import ask, problem
from tests.hostile import COMMAND, CRASHING, ENDLESS, GREEDY, IMAGE
from tests.stores import SmallStore
from tests.system.attack import decoders
from tests.system.common import Service
from xemplar.retrieval.retriever import Retriever

SMALL = {"decode_bytes": 200 * 2**20}


@pytest.fixture(autouse=True)
def _driven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers have a decoder that hostile images drive anywhere."""
    monkeypatch.setattr("xemplar.imaging.decoder_pool.COMMAND", COMMAND)


@contextmanager
def opened(settings: ServiceSettings, **changes: Any) -> Iterator[TestClient]:
    """A service that opens everything itself."""
    with TestClient(create_app(settings.model_copy(update=changes))) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client


def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        time.sleep(0.01)


def test_images_that_stop_a_decoder_are_answered_in_time_and_so_are_others(
    settings: ServiceSettings,
) -> None:
    with opened(settings, **SMALL) as client, ThreadPoolExecutor(4) as threads:
        images = [ENDLESS, IMAGE, CRASHING, GREEDY, IMAGE]
        sent = [threads.submit(client.post, "/query", files={"image": image}) for image in images]
        late, good, crashed, greedy, another = (one.result() for one in sent)
        assert "took longer than allowed for its size; 20 seconds" in problem(
            late, 400, "UnreadableImage"
        )
        assert "ended the decoder" in problem(crashed, 400, "UnreadableImage")
        problem(greedy, 400, "UnreadableImage")
        assert (good.status_code, another.status_code) == (200, 200)


def test_a_batch_is_answered_but_for_the_image_that_takes_too_long(
    settings: ServiceSettings,
) -> None:
    with opened(settings) as client:
        images = [("image", image) for image in (IMAGE, ENDLESS, IMAGE, IMAGE, IMAGE)]
        one, late, *others = client.post("/query/batch", files=images).json()
        assert (late["status"], "took longer" in late["detail"]) == (400, True)
        assert [len(answer["neighbours"]) for answer in (one, *others)] == [5] * 4


def test_a_case_that_takes_too_long_is_not_put_in(
    own: SmallStore, settings: ServiceSettings
) -> None:
    changes = {"store": own.store.root, "checkpoint": own.checkpoint}
    with opened(settings, **changes) as client:
        cases = client.get("/readyz").json()["cases"]
        data, files = {"source": "clinic"}, {"image": ENDLESS}
        problem(client.post("/cases", data=data, files=files), 400, "UnreadableImage")
        assert client.get("/readyz").json()["cases"] == cases


def test_what_brings_no_image_does_not_wait_for_one(
    settings: ServiceSettings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, entered, go_on = retriever.decode, Event(), Event()

    def stuck(data: bytes) -> Any:
        entered.set()
        go_on.wait(PATIENCE)
        return decode(data)

    changes = {"concurrent_queries": 1, "wait_seconds": 0.1}
    monkeypatch.setattr(retriever, "close", lambda: None)  # other tests go on with it
    with (
        TestClient(create_app(settings.model_copy(update=changes), retriever)) as client,
        ThreadPoolExecutor(1) as thread,
    ):
        answer = ask(client, IMAGE, k=1)
        case = answer["neighbours"][0]["case_id"]
        monkeypatch.setattr(retriever, "decode", stuck)
        waiting = thread.submit(ask, client, IMAGE)
        try:
            assert entered.wait(PATIENCE)
            problem(client.post("/query", files={"image": IMAGE}), 503, "Busy")
            for path in (
                "/cases",
                f"/cases/{case}/image",
                f"/cases/{case}/similar",
                answer["overlay_url"],
                "/findings",
            ):
                assert client.get(path).status_code == 200, path
        finally:
            go_on.set()
        assert waiting.result(60)["neighbours"]


@pytest.mark.system
def test_no_worker_outlives_a_service_that_is_killed(small: SmallStore, tmp_path: Path) -> None:
    """One that is stopped: test_serve.py."""
    service = Service(small.store, small.checkpoint, tmp_path / "log")
    try:
        service.wait_until_ready()
        workers = decoders(service.pid)
        assert len(workers) == 2
        with httpx2.Client(base_url=service.url, timeout=PATIENCE) as client:
            ask(client, IMAGE)
    finally:
        service.kill()
    until(lambda: not [one for one in workers if Path(f"/proc/{one}/cmdline").exists()])
