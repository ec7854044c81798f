"""What became of a case over HTTP: its outcome, its place among its patient's films."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.app.asking import ask, bearer, problem
from tests.app.test_cases import ABOUT, IMAGE, put
from tests.images import dicom, drawn_image, encoded
from tests.stores import SmallStore
from xemplar.catalog import open_catalog
from xemplar.model.encoder import Precision
from xemplar.operations.keys import Keys, Role

CANCER = {"diagnosis": "Lung Cancer", "proof": "biopsy", "days": 12}
TB = {"diagnosis": "Tuberculosis", "proof": "CT", "days": None}
HOSTILE = '<img src=x onerror="alert(1)">'


def one_patient(client: TestClient, *courses: dict[str, Any]) -> list[str]:
    """Puts in films of one patient; returns their case ids."""
    images = (encoded(drawn_image(200 + number)) for number in range(len(courses)))
    return [
        put(client, image, **{**ABOUT, **course}).json()["case_id"]
        for image, course in zip(images, courses, strict=True)
    ]


def timeline(client: TestClient, case_id: str, **more: Any) -> dict[str, Any]:
    response = client.get(f"/cases/{case_id}/timeline", **more)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_outcomes_are_put_in_told_with_every_case_and_changed(own_client: TestClient) -> None:
    told = put(own_client, **ABOUT, outcomes=["lung cancer, Biopsy, 12", "TB, ct"], day=3)
    assert (told.status_code, told.json()["outcomes"]) == (201, [CANCER, TB])
    case_id = told.json()["case_id"]
    near = next(n for n in ask(own_client, IMAGE)["neighbours"] if n["case_id"] == case_id)
    listed = own_client.get("/cases", params={"source": "clinic"}).json()["cases"][0]
    shown = own_client.get(f"/cases/{case_id}").json()
    assert all((one["outcomes"], one["day"]) == ([CANCER, TB], 3) for one in (near, listed, shown))
    changed = own_client.patch(f"/cases/{case_id}", json={"outcomes": [TB], "day": None})
    assert (changed.json()["outcomes"], changed.json()["day"]) == ([TB], None)
    assert own_client.patch(f"/cases/{case_id}", json={"outcomes": []}).json()["outcomes"] == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"outcomes": [{"diagnosis": "Gout", "proof": "CT"}]}, "known are: No Disease"),
        ({"outcomes": [{"diagnosis": HOSTILE, "proof": "CT"}]}, "known are: No Disease"),
        ({"outcomes": [{"diagnosis": "TB", "proof": "a feeling"}]}, "known are: biopsy"),
        ({"outcomes": [{"diagnosis": "TB"}]}, "proof"),
        ({"outcomes": [TB | {"days": "2024-01-31"}]}, "days"),
        ({"outcomes": [TB | {"days": "7"}]}, "days"),
        ({"outcomes": [TB | {"days": -30_000}]}, "before the birth"),
        ({"outcomes": [TB | {"at": "2024-01-31"}]}, "at"),
        ({"outcomes": [TB, CANCER, TB]}, "named twice"),
        ({"outcomes": [TB] * 11}, "outcomes"),
        ({"outcomes": None}, "outcomes"),
        ({"day": "2024-01-31"}, "day"),
        ({"day": -1}, "day"),
        ({"day": 40_000}, "not born at the first"),
        ({"followup": 1.5}, "followup"),
    ],
)
def test_a_change_that_cannot_be_is_refused(
    own_client: TestClient, change: dict[str, Any], what: str
) -> None:
    address = put(own_client, **ABOUT, outcomes="TB, CT").headers["location"]
    before = own_client.get(address).json()
    response = own_client.patch(address, json=change)
    assert (response.status_code, what in response.json()["detail"]) == (422, True), response.text
    assert own_client.get(address).json() == before


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"outcomes": "Tuberculosis"}, "diagnosis, proof and, if known, days"),
        ({"outcomes": "TB, CT, soon"}, "diagnosis, proof and, if known, days"),
        ({"outcomes": "Gout, CT"}, "unknown outcome 'Gout'"),
        ({"outcomes": "TB, CT, -30000"}, "before the birth"),
        ({"day": 40_000}, "not born at the first"),
    ],
)
def test_a_new_case_that_cannot_be_is_refused(
    own_client: TestClient, fields: dict[str, Any], what: str
) -> None:
    before = own_client.get("/readyz").json()["cases"]
    response = put(own_client, **ABOUT | fields)
    assert (response.status_code, what in response.json()["detail"]) == (422, True), response.text
    assert own_client.get("/readyz").json()["cases"] == before


def test_a_timeline_has_the_patients_films_in_order(own_client: TestClient) -> None:
    last, first, middle = one_patient(
        own_client,
        {"day": 900, "outcomes": "TB, CT"},
        {"day": 100, "present": "Mass"},
        {"day": 130, "followup": 7},
    )
    found = timeline(own_client, middle)
    assert (found["case_id"], found["order"], found["left_out"]) == (middle, "day", 0)
    films = found["films"]
    assert [film["case_id"] for film in films] == [first, middle, last]
    assert [film["since_first"] for film in films] == [0, 30, 800]
    assert [film["day"] for film in films] == [100, 130, 900]
    assert (films[0]["findings"], films[2]["outcomes"]) == (["Mass"], [TB])
    assert all(isinstance(film["called"], list) for film in films)
    own_client.delete(f"/cases/{first}")
    assert [film["since_first"] for film in timeline(own_client, middle)["films"]] == [0, 770]


def test_a_case_of_an_unknown_patient_stands_alone(own_client: TestClient) -> None:
    case_id = put(own_client, source="clinic", day=4).json()["case_id"]
    found = timeline(own_client, case_id)
    assert [film["case_id"] for film in found["films"]] == [case_id]
    assert own_client.get("/cases/0123456789abcdef/timeline").status_code == 404


def test_a_timeline_shows_no_case_of_a_source_that_the_key_may_not_see(
    own_client: TestClient, own: SmallStore, keys: Keys
) -> None:
    mine, theirs = one_patient(own_client, {"day": 1}, {"day": 2})
    with open_catalog(own.store.database_url) as catalog:  # of one identity domain, other source
        catalog.describe(theirs, {"source": "elsewhere"})
    _, secret = keys.create("reader", Role.READER, sources=["clinic"])
    assert own_client.portal is not None
    own_client.portal.call(own_client.app_state["guard"].ring.renew)
    found = timeline(own_client, mine, headers=bearer(secret))
    assert [film["case_id"] for film in found["films"]] == [mine]
    assert (found["left_out"], found["films"][0]["since_first"]) == (0, 0)
    refused = own_client.get(f"/cases/{theirs}/timeline", headers=bearer(secret))
    assert refused.status_code == 404


def test_the_latest_image_is_searched_with_and_its_priors_are_shown(
    own_client: TestClient, own: SmallStore
) -> None:
    first, second, latest = own.images[1:4]
    files = [("image", image) for image in (first, IMAGE[:500], second, latest)]
    response = own_client.post("/query/series", params={"k": 3}, files=files)
    assert response.status_code == 200, response.text
    told, alone = response.json(), ask(own_client, latest, k=3)
    same = ("case_id", "similarity", "rank")
    assert [[near[name] for name in same] for near in told["neighbours"]] == [
        [near[name] for name in same] for near in alone["neighbours"]
    ]
    earliest, refused, before = told["priors"]
    assert refused["type"] == "urn:xemplar:problem:UnreadableImage"
    for prior, image in ((earliest, first), (before, second)):
        answer = ask(own_client, image)
        read, alone_read = (
            {one["finding"]: one["probability"] for one in told["predictions"]}
            for told in (prior, answer)
        )
        assert read == pytest.approx(alone_read, abs=1e-5)  # encoded together, or alone
        near = {
            one["case_id"]: one["similarity"] for one in ask(own_client, image, k=12)["neighbours"]
        }
        assert prior["similarity"] == pytest.approx(near[alone["archived_as"]], abs=1e-5)
        assert own_client.get(prior["image_url"]).status_code == 200
        assert own_client.get(prior["overlay_url"]).status_code == 200


def test_a_latest_image_that_cannot_be_used_is_refused(
    own_client: TestClient, own: SmallStore
) -> None:
    files = [("image", own.images[1]), ("image", IMAGE[:500])]
    problem(own_client.post("/query/series", files=files), 400, "UnreadableImage")


def test_days_of_dicom_headers_order_a_timeline_where_that_is_set(own: SmallStore) -> None:
    settings = ServiceSettings(
        store=own.store.root,
        checkpoint=own.checkpoint,
        precision=Precision.FLOAT32,
        study_days=True,
    )
    with TestClient(create_app(settings, open_retriever(settings))) as client:
        later, earlier = (
            put(client, dicom(drawn_image(n), StudyDate=day), source="clinic", patient="4711")
            for n, day in ((301, "20210103"), (302, "20201224"))
        )
        found = timeline(client, later.json()["case_id"])
        assert (found["order"], [film["since_first"] for film in found["films"]]) == (
            "day",
            [0, 10],
        )
        assert [film["day"] for film in found["films"]] == [None, None]
        assert found["films"][0]["case_id"] == earlier.json()["case_id"]
