"""``POST /query/batch``: each image gets the answer it gets alone; a bad one spoils no other."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.settings import ServiceSettings
from xemplar_app.upload import MAX_BATCH

from tests.agreement import PATIENCE
from tests.app.asking import ask, problem
from tests.app.conftest import MAX_BYTES
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from xemplar.model.densenet import Features
from xemplar.retrieval.retriever import Retriever

IMAGE = encoded(drawn_image(50, 300, 240))


def batch(client: TestClient, images: list[bytes], **question: Any) -> list[dict[str, Any]]:
    files = [("image", image) for image in images]
    response = client.post("/query/batch", params=question, files=files)
    assert response.status_code == 200, response.text
    answers: list[dict[str, Any]] = response.json()
    return answers


def test_images_get_the_answers_that_they_get_alone_in_their_order(
    client: TestClient, small: SmallStore
) -> None:
    images = [*small.images, *small.images[:6]]  # more than one forward pass takes
    question = {"k": 3, "none_of": "Nodule", "counter_examples": 1}
    answers = batch(client, images, **question)
    assert len(answers) == len(images)
    assert len({answer["query_id"] for answer in answers}) == len(images)
    for image, answer in zip(images, answers, strict=True):
        alone = ask(client, image, **question)
        assert set(answer) == set(alone)
        for part in ("neighbours", "counter_examples"):
            assert [n["case_id"] for n in answer[part]] == [n["case_id"] for n in alone[part]]
        assert answer["explained_finding"] == alone["explained_finding"]
        assert answer["matched"] == alone["matched"]
        assert list(answer["timings_ms"]) == list(alone["timings_ms"])


def test_an_image_that_cannot_be_read_has_its_problem_in_its_place(client: TestClient) -> None:
    flat = encoded(drawn_image(1) * 0)
    none, good, constant, cut = batch(client, [b"", IMAGE, flat, IMAGE[:500]])
    assert len(good["neighbours"]) == 5
    for refused, status, kind in (
        (none, 400, "UnreadableImage"),
        (constant, 422, "NotARadiograph"),
        (cut, 400, "UnreadableImage"),
    ):
        assert refused["type"] == f"urn:xemplar:problem:{kind}"
        assert refused["status"] == status
        assert refused["detail"]
    assert [one["status"] for one in batch(client, [b"", b""])] == [400, 400]


def test_pictures_of_a_batch_are_behind_their_addresses(client: TestClient) -> None:
    for answer in batch(client, [IMAGE, IMAGE], k=1):
        for shown in (answer, *answer["neighbours"]):
            for url in (value for key, value in shown.items() if key.endswith("_url")):
                assert client.get(url).status_code == 200


@pytest.mark.parametrize(
    "files",
    [
        [("other", IMAGE)],
        [("image", IMAGE), ("other", IMAGE)],
        [("image", IMAGE)] * (MAX_BATCH + 1),
    ],
)
def test_a_body_that_is_not_1_to_64_images(client: TestClient, files: Any) -> None:
    detail = problem(client.post("/query/batch", files=files), 422, "InvalidArgument")
    assert "1 to 64 files, the radiographs, each named 'image'" in detail


def test_a_batch_takes_no_pictures_into_its_answer(client: TestClient) -> None:
    response = client.post("/query/batch", params={"include": "overlays"}, files=[("image", IMAGE)])
    assert "include is 'overlays': Extra" in problem(response, 422, "InvalidRequest")


def test_a_batch_may_be_as_large_as_one_image(client: TestClient) -> None:
    files = [("image", IMAGE + bytes(MAX_BYTES // 8)) for _ in range(9)]
    detail = problem(client.post("/query/batch", files=files), 413, "ImageTooLarge")
    assert f"{MAX_BYTES:,} bytes" in detail


def test_no_image_of_a_batch_is_written_to_disk(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rollover(_: object) -> None:
        raise AssertionError("an image was written to a temporary file")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", rollover)
    noise = encoded(np.random.default_rng(0).integers(0, 255, (1100, 1100), np.uint8))
    assert len(noise) > 1_100_000
    assert len(batch(client, [noise, noise])) == 2


def test_a_second_batch_is_told_to_come_back_and_images_are_answered_beside_the_first(
    settings: ServiceSettings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, entered, go_on = retriever.encoder.encode, Semaphore(0), Event()

    def stuck(inputs: Any) -> Features:
        if len(inputs) > 1:
            entered.release()
            go_on.wait(PATIENCE)
        return encode(inputs)

    limits = {"images_at_once": 2, "concurrent_queries": 1}
    app = create_app(settings.model_copy(update=limits), retriever)
    monkeypatch.setattr(retriever, "close", lambda: None)  # other tests go on with it
    monkeypatch.setattr(retriever.encoder, "encode", stuck)
    with TestClient(app) as client, ThreadPoolExecutor(1) as threads:
        try:
            first = threads.submit(batch, client, [IMAGE] * 6)  # more than the images at once
            assert entered.acquire(timeout=PATIENCE)
            response = client.post("/query/batch", files=[("image", IMAGE)] * 2)
            detail = problem(response, 503, "Busy")
            assert (
                "1 other batches are being processed, with 6 images, and the limit is 1 at once"
                in detail
            )
            assert response.headers["retry-after"] == "2"
            assert ask(client, IMAGE)["neighbours"]
            assert "xemplar_images_inside 6.0" in client.get("/metrics").text
        finally:
            go_on.set()
        assert len(first.result(60)) == 6
        assert len(batch(client, [IMAGE] * 2)) == 2
        assert "xemplar_images_inside 0.0" in client.get("/metrics").text
