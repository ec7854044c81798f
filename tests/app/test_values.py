"""What a query's pixels are asked for: own values beyond 8 bits, and text burnt into them."""

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from xemplar_app import recent

from tests.app.asking import Service, ask, bearer, problem
from tests.images import dicom, drawn_image, encoded
from xemplar.operations.keys import Keys, Role
from xemplar.retrieval import result

DEEP = drawn_image(5, 300, 240).astype(np.uint16) * 16 + np.arange(240, dtype=np.uint16) % 16
FILM = dicom(DEEP, BitsStored=12, WindowCenter=2048, WindowWidth=4096)


def test_every_value_of_the_film_is_there(client: TestClient) -> None:
    about = ask(client, FILM)["values"]
    levels = np.frombuffer(client.get(about["url"]).content, "<u2")
    values = levels.reshape(about["height"], about["width"]) * about["slope"] + about["intercept"]
    assert np.array_equal(values, DEEP)
    assert (about["lowest"], about["highest"]) == (DEEP.min(), DEEP.max())
    window = about["window_centre"], about["window_width"]
    assert window == pytest.approx((2048, 4096), abs=4)
    assert not about["inverted"]


def test_they_stay_with_the_query_when_it_is_repeated(client: TestClient) -> None:
    first = ask(client, FILM)
    again = client.get(f"/queries/{first['query_id']}/similar?k=1").json()
    assert again["values"] == first["values"]


def test_an_image_of_8_bits_has_none(client: TestClient) -> None:
    answer = ask(client, encoded(drawn_image(6, 300, 240)))
    assert "values" not in answer
    detail = problem(client.get(f"/queries/{answer['query_id']}/values"), 404, "NotFound")
    assert "has 8 bits" in detail


def test_the_newest_queries_keep_theirs(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "MAX_DEEP", 2)
    asked = [ask(client, FILM)["query_id"] for _ in range(3)]
    told = [client.get(f"/queries/{one}/values").status_code for one in asked]
    assert told == [404, 200, 200]
    assert client.get(f"/queries/{asked[0]}/image").status_code == 200
    assert "values" not in client.get(f"/queries/{asked[0]}/similar").json()


def test_they_are_hidden_from_other_keys_as_the_image_is(service: Service, keys: Keys) -> None:
    (_, mine), (_, other) = keys.create("x", Role.READER), keys.create("y", Role.READER)
    client = service()
    client.headers = bearer(mine)  # type: ignore[assignment]
    url = ask(client, FILM)["values"]["url"]
    assert client.get(url).status_code == 200
    problem(client.get(url, headers=bearer(other)), 404, "NotFound")


def with_text(seed: int = 5) -> bytes:
    film = drawn_image(seed, 600, 480) // 2
    cv2.putText(film, "DOE, JOHN", (30, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    return encoded(film)


def test_a_case_with_text_is_added_with_a_warning(own_client: TestClient) -> None:
    put = own_client.post("/cases", files={"image": with_text(205)}, data={"source": "clinic"})
    assert put.status_code == 201
    assert any("burnt into the picture" in warning for warning in put.json()["warnings"])


def test_text_that_the_pixels_show_is_warned_of_and_found(client: TestClient) -> None:
    answer = ask(client, with_text())
    assert "text" in answer["doubts"]
    assert any("burnt into the picture" in warning for warning in answer["warnings"])
    ((left, top, right, bottom),) = client.get(f"/queries/{answer['query_id']}/text").json()[
        "boxes"
    ]
    assert left * 480 < 30 < 150 < right * 480
    assert top * 600 < 25 < 40 < bottom * 600


def test_without_text_there_is_nothing_to_mask(client: TestClient) -> None:
    answer = ask(client, encoded(drawn_image(6, 300, 240)))
    assert "text" not in answer["doubts"]
    assert client.get(f"/queries/{answer['query_id']}/text").json() == {"boxes": []}


def test_text_is_looked_for_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"/queries/{ask(client, with_text(7))['query_id']}/text"
    found = client.get(url).json()["boxes"]
    monkeypatch.setattr(result, "text_boxes", lambda _: pytest.fail("it was looked for again"))
    assert len(found) == 1
    assert client.get(url).json()["boxes"] == found


def test_where_a_header_declares_text_it_is_looked_for_when_it_is_asked_for(
    client: TestClient,
) -> None:
    film = drawn_image(8, 600, 480) // 2
    cv2.putText(film, "DOE, JOHN", (30, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    answer = ask(client, dicom(film, BurnedInAnnotation="YES"))
    assert answer["doubts"].count("text") == 1
    assert len(client.get(f"/queries/{answer['query_id']}/text").json()["boxes"]) == 1
