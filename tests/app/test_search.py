"""What a query may ask for: filters, selection, counter-examples. And what it may not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.app.asking import ask, problem
from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.api import NeighbourOut
from xemplar.retrieval.retriever import Retriever

STRANGER = encoded(drawn_image(77, 300, 240))
TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def everything(client: TestClient) -> list[dict[str, Any]]:
    """All cases as neighbours of the stranger, in their order."""
    neighbours: list[dict[str, Any]] = ask(client, STRANGER, k=CASES)["neighbours"]
    return neighbours


FILTERS: dict[str, tuple[dict[str, Any], Any]] = {
    "any of": (
        {"any_of": ["Pleural Effusion", "Mass"]},
        lambda case: {"Effusion", "Mass"} & set(case["findings"]),
    ),
    "all of": ({"all_of": ["Mass", "Nodule"]}, lambda case: "Nodule" in case["findings"]),
    "none of": ({"none_of": "Effusion"}, lambda case: "Effusion" not in case["findings"]),
    "healthy": ({"any_of": "No Finding"}, lambda case: case["findings"] == ["No Finding"]),
    "sex": ({"sex": "F"}, lambda case: case["sex"] == "F"),
    "age": ({"age_min": 32, "age_max": 35}, lambda case: 32 <= case["age"] <= 35),
    "view": ({"view": ["pa", "LL"]}, lambda _: True),
    "other view": ({"view": "AP"}, lambda _: False),
    "source": ({"source": "drawn"}, lambda _: True),
    "other source": ({"source": ["nih14", "elsewhere"]}, lambda _: False),
    "since": ({"indexed_since": str(TODAY - timedelta(days=1))}, lambda _: True),
    "until": ({"indexed_until": str(TODAY - timedelta(days=2))}, lambda _: False),
    "several": (
        {"none_of": "Mass", "sex": "M", "age_min": 34},
        lambda case: "Mass" not in case["findings"] and case["sex"] == "M" and case["age"] >= 34,
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_leave_those_that_meet_them_in_their_order(
    client: TestClient, everything: list[dict[str, Any]], name: str
) -> None:
    question, meets = FILTERS[name]
    expected = [case["case_id"] for case in everything if meets(case)]
    answer = ask(client, STRANGER, k=100, **question)
    assert [near["case_id"] for near in answer["neighbours"]] == expected
    assert answer["matched"] == len(expected)
    few = ask(client, STRANGER, k=2, **question)
    assert [near["case_id"] for near in few["neighbours"]] == expected[:2]
    assert few["matched"] == len(expected)


def test_similar_cases_of_a_case_take_the_same_filters(
    client: TestClient, everything: list[dict[str, Any]]
) -> None:
    own = next(near["case_id"] for near in everything if near["sex"] == "F")
    question = {"sex": "F", "none_of": "Effusion", "k": 100, "counter_examples": 2}
    answer = client.get(f"/cases/{own}/similar", params=question).json()
    found = {near["case_id"] for near in answer["neighbours"]}
    expected = {
        n["case_id"] for n in everything if n["sex"] == "F" and "Effusion" not in n["findings"]
    }
    assert found == expected - {own}
    assert answer["matched"] == len(found)
    assert own not in [near["case_id"] for near in answer["counter_examples"]]


def test_cases_of_a_patient_are_left_out_by_naming_one_of_them(
    client: TestClient, everything: list[dict[str, Any]]
) -> None:
    first, second = (near["case_id"] for near in everything[:2])
    answer = ask(client, STRANGER, k=1, exclude_patient_of=first)
    assert answer["neighbours"][0]["case_id"] == second
    assert answer["matched"] == CASES - 1


def test_an_indexed_image_is_found_unless_near_duplicates_are_dropped(
    client: TestClient, small: SmallStore
) -> None:
    own = ask(client, small.images[2], k=1)["neighbours"][0]
    assert own["similarity"] == pytest.approx(1, abs=1e-5)
    others = ask(client, small.images[2], k=CASES, near_duplicates="drop")["neighbours"]
    assert own["case_id"] not in [near["case_id"] for near in others]


def test_less_similar_cases_than_asked_for_are_not_shown(
    client: TestClient, everything: list[dict[str, Any]]
) -> None:
    third = everything[2]["similarity"]
    answer = ask(client, STRANGER, k=CASES, min_similarity=third)
    assert [near["case_id"] for near in answer["neighbours"]] == [
        near["case_id"] for near in everything if near["similarity"] >= third
    ]
    assert answer["matched"] == CASES


def test_diversity_begins_with_the_most_similar_case_and_goes_on_with_others(
    client: TestClient, everything: list[dict[str, Any]]
) -> None:
    diverse = ask(client, STRANGER, k=6, diversity=1)["neighbours"]
    assert diverse[0]["case_id"] == everything[0]["case_id"]
    assert [near["rank"] for near in diverse] == list(range(1, 7))
    similarities = [near["similarity"] for near in diverse]
    assert similarities != sorted(similarities, reverse=True)


def test_counter_examples_come_beside_the_neighbours_with_the_same_fields(
    client: TestClient, everything: list[dict[str, Any]]
) -> None:
    answer = ask(
        client, STRANGER, k=2, finding="Mass", any_of="Mass", counter_examples=3,
        include="overlays",
    )  # fmt: skip
    expected = [n["case_id"] for n in everything if n["findings"] in (["Effusion"], ["No Finding"])]
    shown = answer["counter_examples"]
    assert [near["case_id"] for near in shown] == expected[:3]
    for near in shown:
        assert set(near) == set(NeighbourOut.model_fields) - {"steering", "ranks", "report"}
        assert near["overlay"].startswith("data:image/jpeg")
        for url in ("image_url", "overlay_url", "evidence_url", "query_evidence_url"):
            assert client.get(near[url]).status_code == 200
    assert ask(client, STRANGER)["counter_examples"] == []


@pytest.mark.parametrize(
    ("question", "kind", "wanted"),
    [
        ({"any_of": "Gout"}, "UnknownFinding", "unknown finding 'Gout'; known here: Atelectasis"),
        ({"none_of": "G" * 101}, "InvalidRequest", "none_of.0 is"),
        ({"all_of": ["Mass"] * 101}, "InvalidRequest", "at most 100 items"),
        ({"sex": "X"}, "InvalidRequest", "sex is 'X': Input should be 'F' or 'M'"),
        ({"age_min": 121}, "InvalidRequest", "age_min is '121'"),
        ({"age_min": 50, "age_max": 40}, "InvalidArgument", "age_min is 50, which is after age_m"),
        ({"indexed_since": "yesterday"}, "InvalidRequest", "indexed_since is 'yesterday'"),
        ({"indexed_since": "20250131"}, "InvalidRequest", "a time is written as 2025-01-31"),
        ({"source": "a\0b"}, "InvalidRequest", "source.0 is 'a\\x00b'"),
        ({"min_similarity": 2}, "InvalidRequest", "min_similarity is '2'"),
        ({"diversity": "nan"}, "InvalidRequest", "diversity is 'nan'"),
        ({"near_duplicates": "hide"}, "InvalidRequest", "'keep' or 'drop'"),
        ({"counter_examples": 21}, "InvalidRequest", "counter_examples is '21'"),
        ({"exclude_patient_of": "me"}, "InvalidRequest", "exclude_patient_of.0 is 'me'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    client: TestClient, question: dict[str, Any], kind: str, wanted: str
) -> None:
    responses = [
        client.post("/query", params=question, files={"image": STRANGER}),
        client.post("/query/batch", params=question, files={"image": STRANGER}),
        client.get(f"/cases/{'0' * 16}/similar", params=question),
    ]
    for response in responses[:2]:
        assert wanted in problem(response, 422, kind)
    assert responses[2].status_code in (404, 422)


def test_filters_and_answer_come_from_one_generation(
    client: TestClient, retriever: Retriever
) -> None:
    assert ask(client, STRANGER, sex="F")["generation"] == retriever.generation.name
