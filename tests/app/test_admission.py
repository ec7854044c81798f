"""The input validator on a new case: it passes, warns or refuses."""

from collections.abc import Iterator
from dataclasses import replace

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.app.asking import problem
from tests.images import encoded
from tests.stores import CASES, SmallStore
from xemplar.imaging.validation.validator import InputValidator
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Precision, open_encoder
from xemplar.phantom import phantom
from xemplar.retrieval.retriever import Retriever
from xemplar.retrieval.snapshot import fit_validator

UPRIGHT = phantom(1000, size=128).pixels
PAGE = np.full((200, 160), 255, np.uint8)
PAGE[20:180:12, 20:140] = 0


@pytest.fixture(scope="module")
def validator(tiny: Checkpoint) -> InputValidator | None:
    """It knows phantoms."""
    images = np.stack([phantom(seed, size=64).pixels for seed in range(120)])
    return fit_validator(images, open_encoder(tiny, precision=Precision.FLOAT32))


@pytest.fixture
def guarded(own: SmallStore, validator: InputValidator | None) -> Retriever:
    """A retriever on a test's own store, with that input validator."""
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    one = open_retriever(settings)
    one.live = replace(one.live, validator=validator)
    return one


@pytest.fixture
def guarded_client(own: SmallStore, guarded: Retriever) -> Iterator[TestClient]:
    settings = ServiceSettings(store=own.store.root, checkpoint=own.checkpoint)
    with TestClient(create_app(settings, guarded)) as client:
        yield client


def put(client: httpx2.Client, image: bytes) -> httpx2.Response:
    return client.post("/cases", data={"source": "clinic"}, files={"image": image})


def test_an_image_as_it_should_be_is_taken_without_a_warning(guarded_client: TestClient) -> None:
    response = put(guarded_client, encoded(UPRIGHT))
    assert (response.status_code, response.json()["warnings"]) == (201, [])


@pytest.mark.parametrize(
    ("image", "said"), [(UPRIGHT[::-1, ::-1], "upside down"), (255 - UPRIGHT, "inverted")]
)
def test_a_doubtful_image_is_taken_with_the_warning_of_a_query(
    guarded_client: TestClient, image: np.ndarray, said: str
) -> None:
    data = encoded(np.ascontiguousarray(image))
    asked = guarded_client.post("/query", files={"image": data}).json()["warnings"]
    response = put(guarded_client, data)
    assert response.status_code == 201, response.text
    assert response.json()["warnings"] == asked
    assert said in asked[0]


def test_what_is_surely_no_image_is_refused_as_by_a_query(
    guarded_client: TestClient, own: SmallStore
) -> None:
    pictures = sorted(own.store.media.rglob("*"))
    asked = guarded_client.post("/query", files={"image": encoded(PAGE)})
    refused = problem(put(guarded_client, encoded(PAGE)), 422, "NotARadiograph")
    assert refused == problem(asked, 422, "NotARadiograph")
    assert guarded_client.get("/readyz").json()["cases"] == CASES
    assert sorted(own.store.media.rglob("*")) == pictures


def test_a_case_that_is_there_is_not_refused_but_warned_of(
    guarded_client: TestClient, guarded: Retriever, own: SmallStore
) -> None:
    """Repeating an upload is safe, although the input validator may know other images by now."""
    images = guarded.live.validator
    guarded.live = replace(guarded.live, validator=None)
    assert put(guarded_client, encoded(PAGE)).status_code == 201
    guarded.live = replace(guarded.live, validator=images)
    again = put(guarded_client, encoded(PAGE))
    assert again.status_code == 200, again.text
    assert "as far from the indexed images" in again.json()["warnings"][0]
