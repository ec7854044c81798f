"""Reports come over HTTP, scrubbed before anything keeps or tells them."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings
from xemplar_indexer.backup import back_up

from tests.app.asking import problem
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from tests.xemplar.reports.identities import KINDS, found, plant
from xemplar.phantom.report import phantom_report
from xemplar.reports.scrub import scrub

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


def test_no_planted_identity_is_in_database_logs_answers_or_backup(
    reading: TestClient, own: SmallStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One report for each kind; `benchmarks/scrubbing.py` has a thousand."""
    draw, secrets, said = random.Random(3), dict[str, str](), list[bytes]()
    with caplog.at_level(0):
        address = put(reading, impression="Effusion.")
        for number, kind in enumerate(KINDS):
            made = phantom_report(["Effusion"], number)
            planted = plant(made.findings, kind, draw)
            plain = scrub(made.findings).text
            # digits alone occur by chance in ids and times, and words in what the service says
            rare = [one for one in planted.secrets if len(one) > 5 and not one.isdigit()]
            secrets |= {one: kind for one in rare if not found(one, plain)}
            answer = reading.patch(address, json={"findings_text": planted.text})
            said.append(answer.content)
            shown = reading.get(address)
            said.append(shown.content)
            kept = shown.json()["report"]["findings"]
            left = [one for one in planted.secrets if found(one, kept) > found(one, plain)]
            assert not left, (kind, left)
        said += [
            reading.get(where).content for where in ("/audit", "/errors", "/metrics", "/cases")
        ]
    archive = tmp_path / "backup.tar"
    with archive.open("wb") as out:
        back_up(own.store, own.store.database_url, out)
    said += [file.read_bytes() for file in (archive, *own.store.root.rglob("*")) if file.is_file()]
    everything = b"\n".join(said).lower() + caplog.text.lower().encode()
    assert len(secrets) > 20
    assert [one for one in secrets if one.encode() in everything] == []
