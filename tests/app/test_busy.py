"""A service whose places are taken: images are refused before they are read, and told when."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event, Semaphore
from typing import Any

import httpx2
import pytest
from xemplar_app import main
from xemplar_app.settings import ServiceSettings

from tests.agreement import PATIENCE
from tests.app.asking import ask, problem
from tests.app.conftest import MAX_BYTES
from tests.app.reading import served
from tests.app.test_stalled_bodies import answer_of, begun, begun_image
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from xemplar.model.densenet import Features
from xemplar.retrieval.retriever import Retriever

IMAGE = encoded(drawn_image(61, 300, 200))
FORM = "multipart/form-data; boundary=X"
PLACES = 2


@pytest.fixture
def address(
    settings: ServiceSettings,
    own: SmallStore,
    retriever: Retriever,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """Of a service all whose places are taken, by images that are in process."""
    encode, entered, go_on = retriever.encoder.encode, Semaphore(0), Event()

    def stuck(inputs: Any) -> Features:
        entered.release()
        go_on.wait(PATIENCE)
        return encode(inputs)

    monkeypatch.setattr(main, "READS_SECONDS", 3600.0)
    monkeypatch.setattr(retriever, "close", lambda: None)  # other tests go on with it
    changes = {"images_at_once": PLACES, "database_url": own.store.database_url}
    with ExitStack() as stack:
        url = stack.enter_context(served(settings.model_copy(update=changes), retriever))
        client = stack.enter_context(httpx2.Client(base_url=url, timeout=PATIENCE))
        threads = stack.enter_context(ThreadPoolExecutor(PLACES))
        monkeypatch.setattr(retriever.encoder, "encode", stuck)
        answers = [threads.submit(ask, client, IMAGE) for _ in range(PLACES)]
        try:
            assert all(entered.acquire(timeout=PATIENCE) for _ in answers)
            yield url
        finally:
            go_on.set()
        assert all(answer.result(PATIENCE)["neighbours"] for answer in answers)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused clients are not waited for until they have sent their body."""
    monkeypatch.setattr("xemplar_app.body.LINGER_SECONDS", 0.01)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("path", ["/query", "/cases"])
def test_an_image_is_refused_before_it_comes(address: str, path: str) -> None:
    with begun(address, "POST", path, FORM, b"--X\r\n", MAX_BYTES) as client:
        answer = answer_of(client)
    detail = problem(answer, 503, "Busy")
    assert f"{PLACES} other images are being processed, and the limit is {PLACES}" in detail
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["connection"] == "close"


@pytest.mark.usefixtures("brief")
def test_a_client_that_asks_first_is_not_told_to_continue(address: str) -> None:
    asks = f"{FORM}\r\nExpect: 100-continue"
    with begun(address, "POST", "/query", asks, b"", MAX_BYTES) as client:
        problem(answer_of(client), 503, "Busy")


def test_a_client_that_sends_all_of_it_reads_the_answer(address: str) -> None:
    with httpx2.Client(base_url=address, timeout=PATIENCE) as client:
        for _ in range(3):
            answer = client.post("/query", files={"image": bytes(MAX_BYTES)})
            problem(answer, 503, "Busy")


def test_batches_and_requests_without_an_image_are_answered(address: str) -> None:
    with httpx2.Client(base_url=address, timeout=PATIENCE) as client:
        assert client.get("/cases").status_code == 200
        answer = client.post("/query/batch", files=[("image", b"no image")])
        assert answer.status_code == 200


@pytest.mark.usefixtures("brief")
def test_refusals_of_a_moment_are_one_entry_of_the_audit_trail(address: str) -> None:
    for _ in range(3):
        with begun_image(address) as client:
            problem(answer_of(client), 503, "Busy")
    with httpx2.Client(base_url=address, timeout=PATIENCE) as client:
        entries = client.get("/audit", params={"action": "query"}).json()["entries"]
    assert [(entry["status"], entry["count"]) for entry in entries] == [(503, 3)]
