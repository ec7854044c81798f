"""Several images as one question: uploaded, remembered and past cases, each counting as much."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.app.asking import Service, ask, bearer, problem
from tests.images import drawn_image, encoded
from tests.stores import CASES
from xemplar.api.search import MAX_IMAGES
from xemplar.errors import NotFound
from xemplar.operations.keys import Keys, Role
from xemplar.retrieval.retriever import Retriever

ONE, OTHER, THIRD = (encoded(drawn_image(n)) for n in (91, 92, 93))
FLAT = encoded(drawn_image(1) * 0)
NOBODY = "0" * 16


def together(client: TestClient, *images: bytes, **question: Any) -> dict[str, Any]:
    """The answer of ``POST /query/together``."""
    files = [("image", image) for image in images]
    response = client.post("/query/together", params=question, files=files)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def again(client: TestClient, query_id: str, **question: Any) -> dict[str, Any]:
    """The answer of ``GET /queries/{query_id}/similar``."""
    response = client.get(f"/queries/{query_id}/similar", params=question)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ranked(answer: dict[str, Any]) -> list[tuple[str, float]]:
    """Cases of an answer with their scores, to the digits that rounding leaves alone."""
    return [
        (near["case_id"], pytest.approx(near["steering"]["score"], abs=1e-5))
        for near in answer["neighbours"]
    ]


def test_cases_are_ranked_by_the_mean_of_the_images(
    client: TestClient, retriever: Retriever
) -> None:
    answer = together(client, ONE, OTHER, THIRD, k=CASES)
    each = np.stack([retriever.ask(image).features.embedding[0] for image in (ONE, OTHER, THIRD)])
    mean = each.mean(axis=0) / np.linalg.norm(each.mean(axis=0))
    for near in answer["neighbours"]:
        case = retriever.generation.vector(retriever.indexed(near["case_id"]).id)
        assert near["steering"]["score"] == pytest.approx(float(mean @ case), abs=1e-4)
        assert near["similarity"] == pytest.approx(float(each[0] @ case), abs=1e-4)
    scores = [near["steering"]["score"] for near in answer["neighbours"]]
    assert scores == sorted(scores, reverse=True)


def test_each_image_says_its_part_of_each_score(client: TestClient) -> None:
    answer = together(client, ONE, OTHER, k=CASES)
    assert [one["case_id"] for one in answer["images"]] == [None, None]
    assert answer["images"][0]["query_id"] == answer["query_id"]
    for one in answer["images"]:
        assert client.get(one["image_url"]).status_code == 200
    for near in answer["neighbours"]:
        steering = near["steering"]
        assert len(steering["images"]) == 2
        assert sum(steering["images"]) == pytest.approx(steering["score"], abs=1e-4)
        assert (steering["like"], steering["unlike"]) == (0, 0)


def test_images_sent_together_are_repeated_by_their_ids_and_the_network_does_not_run(
    client: TestClient, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = together(client, ONE, OTHER, k=4)
    beside = [one["query_id"] for one in answer["images"][1:]]
    monkeypatch.setattr(retriever.encoder, "encode", None)
    assert ranked(again(client, answer["query_id"], with_query=beside, k=4)) == ranked(answer)
    # whichever image is the first, the ranks are those of the mean
    turned = again(client, beside[0], with_query=answer["query_id"], k=4)
    assert ranked(turned) == ranked(answer)


def test_an_image_of_a_question_with_nothing_added_has_the_answer_that_it_has_alone(
    client: TestClient,
) -> None:
    answer, alone = together(client, ONE), ask(client, ONE)
    assert "images" not in answer
    assert "images" not in alone
    assert not any("steering" in near for near in answer["neighbours"])
    own = {"query_id", "image_url", "overlay_url", "neighbours", "timings_ms"}
    assert {k: v for k, v in answer.items() if k not in own} == {
        k: v for k, v in alone.items() if k not in own
    }


def test_a_past_case_joins_the_question_and_neither_it_nor_its_patient_is_found(
    client: TestClient,
) -> None:
    alone = ask(client, ONE, k=CASES)
    joined = alone["neighbours"][0]["case_id"]
    answer = again(client, alone["query_id"], with_case=joined, k=CASES)
    assert [one["case_id"] for one in answer["images"]] == [None, joined]
    assert joined not in {near["case_id"] for near in answer["neighbours"]}
    assert answer["matched"] == alone["matched"] - 1
    of_case = client.get(
        f"/cases/{joined}/similar", params={"with_query": alone["query_id"], "k": CASES}
    ).json()
    assert ranked(of_case) == ranked(answer)


def test_other_images_of_a_joined_cases_patient_are_left_out_unless_asked_for(
    own_client: TestClient,
) -> None:
    listed = own_client.get("/cases", params={"limit": 3}).json()["cases"]
    asked, joined, other = (one["case_id"] for one in listed)
    for case in (joined, other):
        change = {"patient": "one", "source": "ward"}
        assert own_client.patch(f"/cases/{case}", json=change).status_code == 200

    def found(**more: Any) -> set[str]:
        question = {"with_case": joined, "k": CASES} | more
        response = own_client.get(f"/cases/{asked}/similar", params=question)
        assert response.status_code == 200, response.text
        return {near["case_id"] for near in response.json()["neighbours"]}

    assert not found() & {asked, joined, other}
    assert found(same_patient=True) & {asked, joined, other} == {other}


def test_marks_a_region_and_filters_work_with_several_images(client: TestClient) -> None:
    answer = together(client, ONE, OTHER, k=CASES)
    first, second, *_ = (near["case_id"] for near in answer["neighbours"])
    beside = answer["images"][1]["query_id"]
    marks = {"like": first, "unlike": second, "region": "0.2,0.1,0.9,0.8"}
    question = marks | {"with_query": beside, "sex": "F", "k": CASES, "diversity": 0.3}
    moved = again(client, answer["query_id"], **question)
    shown = {near["case_id"] for near in moved["neighbours"]}
    assert shown
    assert not shown & {first, second}
    for near in moved["neighbours"]:
        steering = near["steering"]
        parts = sum(steering["images"]) + steering["like"] + steering["unlike"]
        assert parts == pytest.approx(steering["score"], abs=1e-4)
        assert near["sex"] == "F"


@pytest.mark.parametrize(
    ("question", "status", "kind", "why"),
    [
        ({"with_query": NOBODY}, 404, "NotFound", f"query '{NOBODY}' is unknown or forgotten"),
        ({"with_case": NOBODY}, 404, "NotFound", "no case"),
        ({"with_case": "x"}, 422, "InvalidRequest", "with_case"),
        ({"with_case": [NOBODY] * MAX_IMAGES}, 422, "InvalidRequest", "with_case"),
        ({"with_case": NOBODY, "unlike": NOBODY}, 422, "InvalidArgument", "both unlike and with"),
    ],
)
def test_images_that_cannot_join_are_refused(
    client: TestClient, question: dict[str, Any], status: int, kind: str, why: str
) -> None:
    response = client.post("/query", params=question, files={"image": ONE})
    assert why in problem(response, status, kind)


def test_more_images_than_the_limit_are_refused(client: TestClient) -> None:
    files = [("image", ONE)] * MAX_IMAGES
    case = ask(client, ONE)["neighbours"][0]["case_id"]
    response = client.post("/query/together", params={"with_case": case}, files=files)
    assert f"has {MAX_IMAGES + 1} images, and {MAX_IMAGES} are the limit" in problem(
        response, 422, "InvalidArgument"
    )


def test_the_image_asked_with_cannot_join_its_own_question(client: TestClient) -> None:
    answer = ask(client, ONE)
    own = answer["query_id"]
    response = client.get(f"/queries/{own}/similar", params={"with_query": own})
    assert "is asked already" in problem(response, 422, "InvalidArgument")
    case = answer["neighbours"][0]["case_id"]
    response = client.get(f"/cases/{case}/similar", params={"with_case": case})
    assert "is the query itself" in problem(response, 422, "InvalidArgument")


@pytest.mark.parametrize(
    ("images", "status", "kind", "which"),
    [
        ([ONE, b"", OTHER], 400, "UnreadableImage", "image 2 of 3: "),
        ([ONE, OTHER, FLAT], 422, "NotARadiograph", "image 3 of 3: "),
    ],
)
def test_the_image_that_cannot_be_used_is_named(
    client: TestClient, images: list[bytes], status: int, kind: str, which: str
) -> None:
    files = [("image", image) for image in images]
    detail = problem(client.post("/query/together", files=files), status, kind)
    assert detail.startswith(which)


def test_a_query_of_another_key_joins_once_it_is_shared(service: Service, keys: Keys) -> None:
    secrets = [keys.create(name, Role.READER)[1] for name in ("ann", "ben")]
    client = service()
    ann, ben = (bearer(secret) for secret in secrets)
    theirs, mine = (
        client.post("/query", files={"image": image}, headers=whose).json()["query_id"]
        for image, whose in ((ONE, ann), (OTHER, ben))
    )
    address, question = f"/queries/{mine}/similar", {"with_query": theirs}
    refused = client.get(address, params=question, headers=ben)
    assert "another reader's" in problem(refused, 404, "NotFound")
    assert client.post(f"/queries/{theirs}/share", headers=ann).status_code == 204
    assert client.get(address, params=question, headers=ben).status_code == 200


def test_a_query_of_another_checkpoint_is_refused(retriever: Retriever) -> None:
    old = replace(retriever.ask(ONE), checkpoint="f" * 64)
    with pytest.raises(NotFound, match=f"{old.query_id} was answered by checkpoint ffffffffffff"):
        retriever.ask(OTHER, others=[old])


def test_cases_are_not_rated_against_several_images(client: TestClient) -> None:
    answer = ask(client, ONE)
    case = answer["neighbours"][0]["case_id"]
    response = client.get(
        f"/queries/{answer['query_id']}/ranking", params={"rater": "ann", "with_case": case}
    )
    assert "rated against one image" in problem(response, 422, "InvalidArgument")


def test_words_alone_have_no_images_to_join(client: TestClient) -> None:
    response = client.post("/query", params={"text": "effusion", "with_case": NOBODY})
    assert "with_case cannot be used without an image" in problem(response, 422, "InvalidArgument")
