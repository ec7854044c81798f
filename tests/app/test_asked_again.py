"""What a page needs: another question about an image, maps as numbers, matching places, sizes."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.app.asking import ask, picture_size, problem
from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.api import MapsOut, MatchesOut, Search
from xemplar.data.findings import NIH14
from xemplar.errors import NotFound
from xemplar.model.explain import similarity_evidence
from xemplar.retrieval.retriever import Retriever

IMAGE = encoded(drawn_image(77, 1200, 900))
NOBODY = "0" * 16


@pytest.fixture(scope="module")
def answer(client: TestClient) -> dict[str, Any]:
    return ask(client, IMAGE, k=CASES, include="maps")


def again(client: TestClient, answer: dict[str, Any], **question: Any) -> dict[str, Any]:
    """Something else asked of the image."""
    response = client.get(f"/queries/{answer['query_id']}/similar", params=question)
    assert response.status_code == 200, response.text
    other: dict[str, Any] = response.json()
    return other


def test_an_image_that_was_sent_is_asked_about_again(
    client: TestClient, answer: dict[str, Any]
) -> None:
    question = {"k": 2, "sex": "F", "finding": "Mass", "counter_examples": 1}
    other, sent = again(client, answer, **question), ask(client, IMAGE, **question)
    for name in ("query_id", "image_url", "predictions", "warnings", "checkpoint"):
        assert other[name] == answer[name]
    assert other["matched"] == sent["matched"] == CASES // 2
    assert list(other["timings_ms"]) == ["search", "explain", "describe"]
    for cases in ("neighbours", "counter_examples"):
        assert [near["case_id"] for near in other[cases]] == [c["case_id"] for c in sent[cases]]


def test_pictures_of_an_image_stay_when_it_is_asked_about_again(
    client: TestClient, answer: dict[str, Any]
) -> None:
    address = f"/queries/{answer['query_id']}/overlay"  # of the finding first explained
    before = client.get(address)
    again(client, answer, finding="Hernia")
    assert client.get(address).content == before.content


def test_an_image_that_is_not_remembered_cannot_be_asked_about(client: TestClient) -> None:
    for path in ("similar", f"matches/{NOBODY}"):
        response = client.get(f"/queries/{NOBODY}/{path}")
        assert "send the image again" in problem(response, 404, "NotFound")


def test_another_checkpoints_answer_cannot_be_asked_about(retriever: Retriever) -> None:
    other = replace(retriever.ask(IMAGE), checkpoint="f" * 64)
    with pytest.raises(NotFound, match="send the image again"):
        retriever.again(other, Search())


def test_maps_are_those_that_the_overlays_show(
    client: TestClient, answer: dict[str, Any], retriever: Retriever
) -> None:
    maps = answer["maps"]
    assert set(maps) == set(MapsOut.model_fields)
    assert maps["fit"] == retriever.checkpoint.card.spec.fit
    scale = retriever.checkpoint.card.calibration[NIH14.index(answer["explained_finding"])].scale
    assert maps["scales"]["gradcam"] == pytest.approx(math.log(1.5) / scale)
    assert set(maps["cases"]) == {near["case_id"] for near in answer["neighbours"]}
    place = NIH14.index(answer["explained_finding"])
    for near in answer["neighbours"]:
        found = retriever.indexed(near["case_id"])
        assert (maps["cases"][near["case_id"]] is not None) == near["called"]
        if near["called"]:
            stored = retriever.generation.cams(found.id)[place]
            np.testing.assert_allclose(maps["cases"][near["case_id"]], stored, atol=1e-8)


def test_a_finding_that_is_not_called_has_no_map(
    client: TestClient, answer: dict[str, Any]
) -> None:
    absent = next(p["finding"] for p in answer["predictions"] if p["called"] is False)
    maps = again(client, answer, finding=absent, include="maps")["maps"]
    assert maps["query"] is None
    assert set(maps["cases"].values()) == {None}


def test_maps_come_only_where_they_are_asked_for(client: TestClient) -> None:
    assert ask(client, IMAGE)["maps"] is None


def test_matching_places_add_up_to_the_similarity_and_to_the_evidence(
    client: TestClient, answer: dict[str, Any], retriever: Retriever
) -> None:
    near = answer["neighbours"][2]
    response = client.get(f"/queries/{answer['query_id']}/matches/{near['case_id']}")
    matches = response.json()
    assert set(matches) == set(MatchesOut.model_fields)
    shares = np.array(matches["shares"])
    assert shares.shape == (matches["grid"] ** 2, matches["grid"] ** 2)
    assert shares.sum() == pytest.approx(near["similarity"], abs=1e-5)
    assert matches["similarity"] == pytest.approx(near["similarity"], abs=1e-5)
    vector = retriever.generation.vector(retriever.indexed(near["case_id"]).id)
    evidence = similarity_evidence(retriever.ask(IMAGE).features, vector)
    np.testing.assert_allclose(shares.sum(axis=1), evidence.ravel(), atol=1e-5)


def test_images_come_as_large_as_asked_for_and_never_larger(
    client: TestClient, answer: dict[str, Any], small: SmallStore
) -> None:
    assert picture_size(client.get(answer["image_url"], params={"side": 256})) == (192, 256)
    case = ask(client, small.images[0], k=1)["neighbours"][0]  # 560 wide, 700 high
    assert picture_size(client.get(case["image_url"], params={"side": 350})) == (280, 350)
    for side in (700, 1024):
        assert picture_size(client.get(case["image_url"], params={"side": side})) == (560, 700)
    assert picture_size(client.get(case["image_url"], params={"side": 64})) == (51, 64)


def test_a_steered_search_states_the_parts_of_each_score(
    client: TestClient, answer: dict[str, Any]
) -> None:
    first, second, *_ = (near["case_id"] for near in answer["neighbours"])
    marks = {"like": second, "unlike": first, "region": "0.2,0.1,0.9,0.8"}
    steered = again(client, answer, k=CASES, **marks)
    assert steered["matched"] == answer["matched"] - 2
    shown = {near["case_id"] for near in steered["neighbours"]}
    assert shown
    assert not shown & {first, second}
    similarity = {near["case_id"]: near["similarity"] for near in answer["neighbours"]}
    scores = []
    for near in steered["neighbours"]:
        parts = near["steering"]
        scores.append(parts["score"])
        assert sum(parts[name] for name in ("image", "like", "unlike")) == pytest.approx(
            parts["score"], abs=1e-4
        )
        assert near["similarity"] == pytest.approx(similarity[near["case_id"]], abs=1e-6)
    assert scores == sorted(scores, reverse=True)


def test_a_search_that_is_not_steered_says_nothing_of_it(answer: dict[str, Any]) -> None:
    assert not any("steering" in near for near in answer["neighbours"])


@pytest.mark.parametrize(
    ("marks", "status", "kind", "why"),
    [
        ({"like": NOBODY}, 404, "NotFound", "no case"),
        ({"region": "0.2,0.1,0.9"}, 422, "InvalidRequest", "region"),
        ({"region": "0.5,0.1,0.51,0.8"}, 422, "InvalidArgument", "at least 0.02"),
        ({"region": "0.5,0.9,0.9,0.1"}, 422, "InvalidArgument", "at least 0.02"),
    ],
)
def test_marks_that_cannot_be_used_are_refused(
    client: TestClient,
    answer: dict[str, Any],
    marks: dict[str, str],
    status: int,
    kind: str,
    why: str,
) -> None:
    response = client.get(f"/queries/{answer['query_id']}/similar", params=marks)
    assert why in problem(response, status, kind)


def test_a_case_cannot_be_wanted_and_unwanted(client: TestClient, answer: dict[str, Any]) -> None:
    marked = answer["neighbours"][0]["case_id"]
    marks = {"like": marked, "unlike": marked}
    response = client.get(f"/queries/{answer['query_id']}/similar", params=marks)
    assert "both like and unlike" in problem(response, 422, "InvalidArgument")
