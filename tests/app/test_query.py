"""``POST /query`` and the addresses in its answer."""

import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings
from xemplar_app.wire import answer_out

from tests.app.asking import ask, picture_size, problem
from tests.images import dicom, drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.api import AnswerOut, CaseOut, NeighbourOut, PredictionOut, Search
from xemplar.data.findings import NIH14
from xemplar.retrieval.retriever import Retriever

STRANGER = encoded(drawn_image(77, 1200, 900))
STAGES = ["decode", "preprocess", "encode", "search", "explain", "describe", "text"]


@pytest.fixture(scope="module")
def answer(client: TestClient) -> dict[str, Any]:
    return ask(client, STRANGER, k=CASES)


def test_an_answer_has_every_field_of_the_contract(
    answer: dict[str, Any], retriever: Retriever
) -> None:
    assert set(answer) == set(AnswerOut.model_fields) - {
        *("words", "prevalence"),  # of searches that ask for them
        "values",  # of images of more than 8 bits
        "images",  # of a question of several
    }
    assert answer["query_id"] == answer["image_url"].split("/")[2]
    assert answer["checkpoint"] == retriever.checkpoint.digest
    assert answer["generation"] == retriever.generation.name
    assert answer["explained_finding"] == answer["predictions"][0]["finding"]
    assert answer["overlay"] is None
    assert answer["notice"] == "Research use, not for diagnosis."


def test_predictions_cover_all_findings_the_highest_lift_first(answer: dict[str, Any]) -> None:
    predictions = answer["predictions"]
    assert {p["finding"] for p in predictions} == set(NIH14)
    assert all(set(p) == set(PredictionOut.model_fields) for p in predictions)
    *ordered, last = predictions
    lifts = [p["lift"] for p in ordered]
    assert lifts == sorted(lifts, reverse=True)
    assert 0 <= lifts[-1] < lifts[0]
    assert all(0 <= p["probability"] <= 1 for p in predictions)
    assert (last["threshold"], last["called"]) == (None, None)
    on = {"source": "drawn", "images": 8, "labelled": CASES, "ill": 0.5}
    assert answer["calibrated_on"] == on
    assert answer["chance_measured_on"] is None  # the index is not calibrated


def test_neighbours_come_in_the_order_of_their_rank(answer: dict[str, Any]) -> None:
    neighbours = answer["neighbours"]
    assert [near["rank"] for near in neighbours] == list(range(1, CASES + 1))
    similarities = [near["similarity"] for near in neighbours]
    assert similarities == sorted(similarities, reverse=True)
    # of steered searches, of searches with text, and of cases with a report alone
    fields = set(NeighbourOut.model_fields) - {"steering", "ranks", "report"}
    assert all(set(near) == fields for near in neighbours)


def test_a_neighbour_is_described_as_its_label_file_does(
    client: TestClient, small: SmallStore
) -> None:
    expected = [["Effusion"], ["Mass", "Nodule"], ["No Finding"], []]
    for n, image in enumerate(small.images):
        near = ask(client, image, k=1)["neighbours"][0]
        about = {key: near[key] for key in ("findings", "sex", "age", "view", "source")}
        assert about == {
            "findings": expected[n % 4],
            "sex": "FM"[n % 2],
            "age": 30 + n,
            "view": "PA",
            "source": "drawn",
        }


def test_a_case_by_itself_says_what_it_says_as_a_neighbour(
    client: TestClient, answer: dict[str, Any]
) -> None:
    for near in answer["neighbours"]:
        case = client.get(f"/cases/{near['case_id']}").json()
        said = {key: near[key] for key in CaseOut.model_fields}
        assert case == said | {"viewer_url": None}


def test_an_indexed_image_finds_itself(client: TestClient, small: SmallStore) -> None:
    near = ask(client, small.images[3], k=3)["neighbours"]
    assert near[0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert near[0]["similarity"] > near[1]["similarity"]


def test_every_address_in_an_answer_leads_to_a_jpeg_of_the_images_shape(
    client: TestClient, answer: dict[str, Any], small: SmallStore
) -> None:
    assert picture_size(client.get(answer["image_url"])) == (768, 1024)
    assert picture_size(client.get(answer["overlay_url"])) == (384, 512)
    own = ask(client, small.images[0], k=1)["neighbours"][0]["case_id"]  # 560 wide, 700 high
    for near in answer["neighbours"]:
        large = near["case_id"] == own
        assert picture_size(client.get(near["image_url"])) == ((560, 700) if large else (80, 96))
        for url in (near["overlay_url"], near["evidence_url"]):
            assert picture_size(client.get(url)) == ((410, 512) if large else (80, 96))
        assert picture_size(client.get(near["query_evidence_url"])) == (384, 512)


def test_pictures_come_as_large_as_asked_for(client: TestClient, answer: dict[str, Any]) -> None:
    near = answer["neighbours"][0]
    assert picture_size(client.get(answer["overlay_url"], params={"side": 64})) == (48, 64)
    for url in (answer["overlay_url"], near["query_evidence_url"]):
        assert picture_size(client.get(f"{url.split('?')[0]}?side=256")) == (192, 256)
        detail = problem(client.get(f"{url.split('?')[0]}?side=1025"), 422, "InvalidRequest")
        assert "side is '1025'" in detail
        assert "1024" in detail


def test_overlays_that_are_asked_for_are_those_behind_the_addresses(client: TestClient) -> None:
    answer = ask(client, STRANGER, k=4, include="overlays")
    assert len(answer["neighbours"]) == 4
    for shown in (answer, *answer["neighbours"]):
        kind, content = shown["overlay"].split(",")
        assert kind == "data:image/jpeg;base64"
        assert base64.b64decode(content) == client.get(shown["overlay_url"]).content


def test_timings_name_every_stage_in_its_order(client: TestClient, answer: dict[str, Any]) -> None:
    assert list(answer["timings_ms"]) == STAGES
    drawn = ask(client, STRANGER, include="overlays")["timings_ms"]
    assert list(drawn) == [*STAGES, "render"]
    assert all(milliseconds >= 0 for milliseconds in drawn.values())


def test_the_finding_that_is_asked_for_is_explained(client: TestClient) -> None:
    answer = ask(client, STRANGER, finding="Hernia", k=2)
    assert answer["explained_finding"] == "Hernia"
    assert answer["predictions"][0]["finding"] != "Hernia"
    for shown in (answer, *answer["neighbours"]):
        assert shown["overlay_url"].endswith("/overlay?finding=Hernia")


def test_k_is_5_unless_asked_for_and_may_be_more_than_there_are(client: TestClient) -> None:
    assert len(ask(client, STRANGER)["neighbours"]) == 5
    assert len(ask(client, STRANGER, k=1)["neighbours"]) == 1
    assert len(ask(client, STRANGER, k=100)["neighbours"]) == CASES


def test_excluded_cases_are_left_out_and_no_others(
    client: TestClient, answer: dict[str, Any]
) -> None:
    ids = [near["case_id"] for near in answer["neighbours"]]
    rest = ask(client, STRANGER, k=100, exclude=[ids[0], ids[4]])["neighbours"]
    assert [near["case_id"] for near in rest] == [*ids[1:4], *ids[5:]]


def test_png_and_dicom_of_the_same_pixels_get_the_same_answer(client: TestClient) -> None:
    pixels = drawn_image(5)
    png, dcm = (ask(client, image, k=CASES) for image in (encoded(pixels), dicom(pixels)))
    assert png["predictions"] == dcm["predictions"]
    for one, other in zip(png["neighbours"], dcm["neighbours"], strict=True):
        assert (one["case_id"], one["similarity"]) == (other["case_id"], other["similarity"])


def test_eight_at_once_each_get_their_own_answer(client: TestClient, small: SmallStore) -> None:
    images = small.images[1:9] * 3
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda image: ask(client, image, k=2), images))
    assert len({answer["query_id"] for answer in answers}) == len(images)
    alone = [ask(client, image, k=2) for image in small.images[1:9]] * 3
    for one, other in zip(answers, alone, strict=True):
        assert one["predictions"] == other["predictions"]
        for near, own in zip(one["neighbours"], other["neighbours"], strict=True):
            assert (near["case_id"], near["similarity"]) == (own["case_id"], own["similarity"])


def test_a_finding_with_spaces_is_quoted_in_addresses(retriever: Retriever) -> None:
    answer = replace(retriever.ask(STRANGER, Search(k=1)), explained="Lung Opacity & more")
    out = answer_out(answer)
    for url in (out.overlay_url, out.neighbours[0].overlay_url):
        assert url.endswith("/overlay?finding=Lung%20Opacity%20%26%20more")


def test_behind_a_reverse_proxy_addresses_begin_with_its_prefix(settings: ServiceSettings) -> None:
    app = create_app(settings, open_retriever(settings))
    with TestClient(app, root_path="/xemplar") as client:
        answer = ask(client, STRANGER, k=1)
        near = answer["neighbours"][0]
        urls = [value for key, value in (answer | near).items() if key.endswith("_url")]
        assert len(urls) == 4  # of them, image and overlay are the neighbour's
        urls += [answer["image_url"], answer["overlay_url"]]
        for url in urls:
            assert url.startswith("/xemplar/")
            picture_size(client.get(url))
        assert client.get(f"/cases/{near['case_id']}").json()["image_url"] == near["image_url"]
        assert '"/xemplar/static-docs/swagger-ui.css"' in client.get("/docs").text


def test_similar_cases_of_a_case_have_the_form_of_any_answer(
    client: TestClient, answer: dict[str, Any]
) -> None:
    own = answer["neighbours"][0]["case_id"]
    similar = client.get(f"/cases/{own}/similar", params={"k": 3, "finding": "Mass"}).json()
    assert set(similar) == set(answer)
    assert similar["explained_finding"] == "Mass"
    assert len(similar["neighbours"]) == 3
    assert own not in [near["case_id"] for near in similar["neighbours"]]
    for address in (similar["image_url"], similar["overlay_url"]):
        assert client.get(address).status_code == 200
    assert client.get(similar["neighbours"][0]["evidence_url"]).status_code == 200


def test_similar_cases_of_nothing_and_with_a_misspelt_word_are_refused(client: TestClient) -> None:
    problem(client.get(f"/cases/{'0' * 16}/similar"), 404, "NotFound")
    refused = client.get(f"/cases/{'0' * 16}/similar", params={"samepatient": True})
    assert "samepatient" in problem(refused, 422, "InvalidRequest")


def test_the_size_in_millimetres_is_that_of_the_header_and_stays_with_the_query(
    client: TestClient,
) -> None:
    image = drawn_image(11, 600, 450)
    answer = ask(client, dicom(image, ImagerPixelSpacing=[0.5, 0.4]))
    assert answer["size_mm"] == pytest.approx([image.shape[0] * 0.5, image.shape[1] * 0.4])
    again = client.get(f"/queries/{answer['query_id']}/similar").json()
    assert again["size_mm"] == answer["size_mm"]
    assert {near["size_mm"] for near in answer["neighbours"]} == {None}  # PNGs have none
    assert ask(client, encoded(image))["size_mm"] is None
