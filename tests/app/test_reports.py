"""Reports come over HTTP, scrubbed before anything keeps or tells them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.app.asking import problem
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from tests.system.planted_reports import planted_reports, search_for_planted
from tests.xemplar.reports.identities import KINDS
from xemplar.reports.report import ReceivedReport, StoredReport

IMAGE = encoded(drawn_image(99))


@pytest.fixture
def reading(own: SmallStore) -> Iterator[TestClient]:
    """A service that takes reports."""
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, reports=True, requests_per_second=0
    )
    with TestClient(create_app(settings, open_retriever(settings))) as client:
        yield client


def put(client: TestClient, image: bytes = IMAGE, **about: str) -> str:
    response = client.post("/cases", data={"source": "clinic", **about}, files={"image": image})
    assert response.status_code in {200, 201}, response.text
    return str(response.headers["location"])


def report_of(client: TestClient, address: str) -> Any:
    return client.get(address).json().get("report")


def test_a_case_has_the_report_that_came_with_it(reading: TestClient) -> None:
    address = put(
        reading, report="HISTORY: Ann, 50.\nFINDINGS: Small effusion.\nIMPRESSION: Effusion."
    )
    assert report_of(reading, address) == {
        "findings": "Small effusion.",
        "impression": "Effusion.",
        "labels_mined": False,
        "marks": [],
    }


def test_a_section_is_changed_and_the_other_one_stays(reading: TestClient) -> None:
    address = put(reading, findings_text="Small effusion.", impression="Effusion.")
    reading.patch(address, json={"impression": "Unchanged."}).raise_for_status()
    said = report_of(reading, address)
    assert (said["findings"], said["impression"]) == ("Small effusion.", "Unchanged.")
    reading.patch(address, json={"report": None}).raise_for_status()
    assert report_of(reading, address) is None


def test_without_a_scrubber_text_is_refused_and_nothing_is_stored(own_client: TestClient) -> None:
    form = {"source": "clinic", "impression": "Effusion."}
    answer = own_client.post("/cases", data=form, files={"image": IMAGE})
    assert "XEMPLAR_REPORTS" in problem(answer, 422, "InvalidArgument")
    assert own_client.get("/cases", params={"source": "clinic"}).json()["cases"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 20_001, "text of 20,003 characters"),
        ("Kowalski\x00", "U+0000"),
        ("<script>alert('Kowalski')</script>", "markup"),
        ("Kowalski " * 20, "English"),
    ],
)
def test_a_text_that_is_no_report_is_refused_and_not_repeated(
    reading: TestClient, caplog: pytest.LogCaptureFixture, text: str, message: str
) -> None:
    address = put(reading, impression="Effusion.")
    answer = reading.patch(address, json={"impression": text})
    assert answer.status_code == 422
    assert message in answer.text
    assert "Kowalski" not in answer.text + caplog.text + reading.get("/errors").text
    assert report_of(reading, address)["impression"] == "Effusion."


def test_no_planted_identity_is_found_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """One report of each kind; `python -m tests.system.planted_reports` has a thousand."""
    search = search_for_planted(planted_reports(len(KINDS)), tmp_path, tiny_checkpoint)
    assert (search.reports, search.found) == (len(KINDS), [])
    assert search.long > 20
    assert all(search.places.values())


def test_planted_identity_is_found_where_the_scrubber_is_off(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search above can fail."""
    whole = lambda text: StoredReport(findings=text.findings or "")  # noqa: E731
    monkeypatch.setattr(ReceivedReport, "scrubbed", whole)
    search = search_for_planted(planted_reports(6), tmp_path, tiny_checkpoint)
    assert {place for _, place in search.found} == {"report", "answers", "database", "backup"}


def answer_to(client: TestClient, image: bytes = IMAGE, **search: Any) -> dict[str, Any]:
    response = client.post("/query", params=search, files={"image": image})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_a_search_with_words_says_what_image_and_words_contributed(
    reading: TestClient, own: SmallStore
) -> None:
    cases = [near["case_id"] for near in answer_to(reading, k=100)["neighbours"]]
    last = cases[-1]
    report = {"findings_text": "No edema. Left effusion.", "impression": "Effusion."}
    reading.patch(f"/cases/{last}", json=report).raise_for_status()
    answer = answer_to(reading, k=3, text="left effusion of kowalski")
    assert answer["words"] == {"cases": 1, "unknown": ["kowalski"]}
    first, second, _ = answer["neighbours"]
    assert (first["case_id"], second["case_id"]) == (last, cases[0])
    assert first["ranks"] | {"score": 0} == {"score": 0, "by_image": len(cases), "by_words": 1}
    assert second["ranks"] | {"score": 0} == {"score": 0, "by_image": 1, "by_words": None}
    said = first["report"]
    marked = [said[one["section"]][one["start"] : one["end"]] for one in said["marks"]]
    assert marked == ["Left", "effusion", "Effusion"]
    assert "report" not in second


def test_a_filter_by_words_excludes_reports_that_deny_them(reading: TestClient) -> None:
    cases = [near["case_id"] for near in answer_to(reading, k=100)["neighbours"]]
    texts = dict(zip(cases, ["Effusion.", "No effusion.", "Possible effusion."], strict=False))
    for case, text in texts.items():
        reading.patch(f"/cases/{case}", json={"impression": text}).raise_for_status()
    found = answer_to(reading, says="effusion")
    assert [near["case_id"] for near in found["neighbours"]] == [cases[0], cases[2]]
    assert found["matched"] == 2
    listed = reading.get("/cases", params={"says": "no effusion"}).json()["cases"]
    assert [one["case_id"] for one in listed] == [cases[1]]


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"text": "Kowalski"}, "no word that reports hold"),
        ({"says": "effusion of Kowalski"}, "words that no report holds"),
        ({"text": "effusion", "diversity": 0.5}, "diversity"),
        ({"text": "x" * 501}, "text of 503 characters"),
    ],
)
def test_words_that_cannot_be_searched_for_are_refused_and_not_repeated(
    reading: TestClient, search: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = reading.post("/query", params=search, files={"image": IMAGE})
    assert answer.status_code == 422
    assert message in answer.text
    assert "owalski" not in answer.text + reading.get("/errors").text


def test_markup_in_a_search_is_text_and_comes_back_as_none(reading: TestClient) -> None:
    answer = reading.post(
        "/query", params={"text": "<script>alert(1)</script>"}, files={"image": IMAGE}
    )
    assert answer.status_code == 422
    assert "<script" not in answer.text


def by_words(client: TestClient, text: str, **search: Any) -> dict[str, Any]:
    response = client.post("/query", params={"text": text, **search})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.fixture
def said(reading: TestClient) -> list[str]:
    """Cases of which the first three say something: effusion, no effusion, effusion and mass."""
    cases = [near["case_id"] for near in answer_to(reading, k=100)["neighbours"]]
    texts = dict(zip(cases, ["Effusion.", "No effusion.", "Effusion. Mass."], strict=False))
    for case, text in texts.items():
        reading.patch(f"/cases/{case}", json={"impression": text}).raise_for_status()
    return cases


def test_words_without_an_image_find_cases(reading: TestClient, said: list[str]) -> None:
    found = by_words(reading, "mass and effusion", prevalence=True)
    ranked = [(one["case_id"], one["rank"], one["ranks"]) for one in found["neighbours"]]
    assert ranked == [
        (said[2], 1, {"score": 1 / 11, "by_image": None, "by_words": 1}),
        (said[0], 2, {"score": 1 / 12, "by_image": None, "by_words": 2}),
    ]
    assert found["words"] == {"cases": 2, "unknown": []}
    assert found["matched"] == len(said)
    assert found["prevalence"]["cases"] == 2
    assert [len(one["report"]["marks"]) for one in found["neighbours"]] == [2, 1]
    assert len(by_words(reading, "effusion", k=1)["neighbours"]) == 1
    assert by_words(reading, "effusion", source="elsewhere")["neighbours"] == []


def test_an_answer_to_words_has_the_fields_of_one_to_an_image(
    reading: TestClient, said: list[str]
) -> None:
    with_image = answer_to(reading, text="effusion")
    alone = by_words(reading, "effusion")
    assert alone.keys() < with_image.keys()
    assert alone["neighbours"][0].keys() < with_image["neighbours"][0].keys()
    assert "query_id" not in alone, "there is no image to ask about again"
    assert said[0] in {one["case_id"] for one in alone["neighbours"]}


def test_cases_named_in_exclude_are_not_found_by_words(
    reading: TestClient, said: list[str]
) -> None:
    found = by_words(reading, "effusion", exclude=[said[0]])["neighbours"]
    assert [one["case_id"] for one in found] == [said[2]]


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"text": "Kowalski"}, "no word that reports hold"),
        ({"text": "effusion", "finding": "Mass"}, "finding cannot be used without an image"),
        ({"text": "effusion", "like": "0" * 16, "include": "maps"}, "like, include cannot be used"),
        ({}, "name text"),
    ],
)
def test_what_words_alone_cannot_be_asked_is_refused(
    reading: TestClient, search: dict[str, Any], message: str
) -> None:
    detail = problem(reading.post("/query", params=search), 422, "InvalidArgument")
    assert message in detail
    assert "Kowalski" not in detail


def test_the_audit_trail_names_the_cases_that_words_found(
    reading: TestClient, said: list[str]
) -> None:
    by_words(reading, "mass")
    entry = reading.get("/audit", params={"action": "query"}).json()["entries"][0]
    assert (entry["results"], entry["image_sha256"]) == ([said[2]], None)
