"""The service as a whole: health, threads, memory, privacy, documentation."""

import logging
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel
from xemplar_app.main import create_app
from xemplar_app.problems import STATUSES
from xemplar_app.settings import ServiceSettings, read_settings

from tests.agreement import PATIENCE
from tests.app.asking import MEDIA_TYPE, ask, problem
from tests.images import dicom, drawn_image, encoded
from tests.stores import CASES, PATIENT, SmallStore
from xemplar import api
from xemplar.data.findings import NIH14
from xemplar.errors import ConfigurationError
from xemplar.model.densenet import Features
from xemplar.retrieval.retriever import Retriever
from xemplar.views import VIEWS

IMAGE = encoded(drawn_image(60, 300, 200))


# ---- health and readiness -------------------------------------------------------------------


def test_a_service_that_lives_says_so(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_a_service_that_is_ready_says_with_what(client: TestClient, retriever: Retriever) -> None:
    said = client.get("/readyz").json()
    tasks = said.pop("tasks")
    assert said == {
        "status": "ok",
        "checkpoint": retriever.checkpoint.digest,
        "generation": retriever.generation.name,
        "cases": CASES,
        "writes_refused": None,
        "keys_lost": None,
    }
    assert {"filters", "generations", "input validator", "pictures", "writes"} <= tasks.keys()
    assert all(task["failing"] is None for task in tasks.values())


def test_other_requests_are_answered_while_a_query_is_stuck(
    client: TestClient, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, entered, go_on = retriever.encoder.encode, Event(), Event()

    def stuck(inputs: Any) -> Features:
        entered.set()
        go_on.wait(PATIENCE)
        return encode(inputs)

    monkeypatch.setattr(retriever.encoder, "encode", stuck)
    with ThreadPoolExecutor(2) as threads:
        try:
            answer = threads.submit(ask, client, IMAGE)
            assert entered.wait(PATIENCE)
            for path in ("/healthz", "/readyz"):
                assert threads.submit(client.get, path).result(60).status_code == 200
            assert not answer.done()
        finally:
            go_on.set()
        assert len(answer.result(60)["neighbours"]) == 5


def test_one_image_too_many_is_told_to_come_back_and_others_are_answered(
    settings: ServiceSettings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, entered, go_on = retriever.encoder.encode, Semaphore(0), Event()

    def stuck(inputs: Any) -> Features:
        entered.release()
        go_on.wait(PATIENCE)
        return encode(inputs)

    app = create_app(settings.model_copy(update={"images_at_once": 2}), retriever)
    monkeypatch.setattr(retriever, "close", lambda: None)  # other tests go on with it
    with TestClient(app) as client, ThreadPoolExecutor(2) as threads:
        monkeypatch.setattr(retriever.encoder, "encode", stuck)
        try:
            answers = [threads.submit(ask, client, IMAGE) for _ in range(2)]
            assert all(entered.acquire(timeout=PATIENCE) for _ in answers)
            response = client.post("/query", files={"image": IMAGE})
            assert "2 other images are being processed" in problem(response, 503, "Busy")
            assert response.headers["retry-after"] == "2"
            assert client.get("/healthz").status_code == 200
        finally:
            go_on.set()
        assert all(len(answer.result(60)["neighbours"]) == 5 for answer in answers)
        assert client.post("/query", files={"image": IMAGE}).status_code == 200


# ---- what is remembered ---------------------------------------------------------------------


def test_a_forgotten_query_says_what_to_do(client: TestClient, retriever: Retriever) -> None:
    case = ask(client, IMAGE, k=1)["neighbours"][0]["case_id"]
    forgotten = "0" * 16
    for path in (
        f"/queries/{forgotten}/image",
        f"/queries/{forgotten}/overlay",
        f"/queries/{forgotten}/evidence/{case}",
        f"/cases/{case}/evidence/{forgotten}",
    ):
        assert "send the image again" in problem(client.get(path), 404, "NotFound")


# ---- privacy --------------------------------------------------------------------------------


def test_an_image_is_never_written_to_disk(
    client: TestClient, small: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rollover(_: object) -> None:
        raise AssertionError("an image was written to a temporary file")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", rollover)
    image = encoded(drawn_image(60, 1300, 1300), "TIFF")  # which is not compressed
    assert len(image) > 1_500_000  # Starlette keeps up to 1 MB in memory by itself

    def files() -> set[str]:
        kept = small.store.root.rglob("*")
        return {str(p) for p in kept if p.suffix not in (".sqlite-wal", ".sqlite-shm")}

    before = files()
    answer = ask(client, image)
    client.get(answer["overlay_url"])
    assert files() == before


def test_nothing_says_who_the_patient_is(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ["verysecret", "pid-4711-x", "19990101", PATIENT.format("")]
    image = dicom(
        drawn_image(61),
        PatientName="Verysecret^Jane",
        PatientID="PID-4711-X",
        PatientBirthDate="19990101",
        ViewPosition="VERYSECRET",
    )
    asked = client.post("/query", files={"image": ("Verysecret.dcm", image)})
    answer = asked.json()
    broken = client.post("/query", files={"image": ("Verysecret.dcm", image[:700])})
    said = [asked, broken]
    for shown in (answer, *answer["neighbours"]):
        said += [client.get(url) for key, url in shown.items() if key.endswith("_url")]
    said += [client.get(f"/cases/{near['case_id']}") for near in answer["neighbours"]]
    told = [caplog.text, *(f"{r.headers} {r.content.decode('latin-1')}" for r in said)]
    assert broken.status_code == 400
    assert not [secret for secret in secrets for text in told if secret in text.lower()]


# ---- documentation --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def values(node: Any, key: str) -> Iterator[Any]:
    """All values of a key, wherever it stands."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values(value, key)


def test_operation_ids_are_simple_and_do_not_change(document: dict[str, Any]) -> None:
    assert [operation["operationId"] for _, operation in operations(document)] == [
        "query",
        "query_together",
        "query_batch",
        "query_series",
        "similar",
        "query_similar",
        "share_query",
        "query_image",
        "query_values",
        "query_text",
        "query_overlay",
        "query_evidence",
        "query_matches",
        "cases",
        "put_case",
        "findings",
        "case",
        "change_case",
        "remove_case",
        "case_timeline",
        "case_image",
        "case_overlay",
        "case_evidence",
        "query_ranking",
        "case_ranking",
        "put_ratings",
        "query_ratings",
        "reader_studies",
        "next_reading",
        "reading_image",
        "reading_case_image",
        "put_reading",
        "queries",
        "forget_query",
        "collections",
        "create_collection",
        "collection",
        "change_collection",
        "remove_collection",
        "collect_case",
        "collect_query",
        "remove_entry",
        "reindex",
        "jobs",
        "job",
        "cancel_job",
        "index_generations",
        "publish_generation",
        "keys",
        "create_key",
        "revoke_key",
        "ratings_csv",
        "raters",
        "give_rater",
        "readings_csv",
        "give_collections",
        "audit",
        "errors",
        "healthz",
        "readyz",
        "me",
        "metrics",
    ]


def test_every_operation_is_described_with_its_parameters(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    for path, operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
        assert any(status.startswith("2") for status in operation["responses"])


def test_every_error_is_described_as_a_problem(document: dict[str, Any]) -> None:
    for _, operation in operations(document):
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
                assert response["content"] == {MEDIA_TYPE: reference}
    assert not [name for name in document["components"]["schemas"] if "Validation" in name]


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(values(document, "$ref")) == known


def test_the_body_of_a_query_is_one_file(document: dict[str, Any]) -> None:
    body = document["paths"]["/query"]["post"]["requestBody"]
    assert not body["required"]  # words alone are searched for without a body
    schema = body["content"]["multipart/form-data"]["schema"]
    assert (list(schema["properties"]), schema["required"]) == (["image"], ["image"])


def test_every_documented_example_is_real(client: TestClient, document: dict[str, Any]) -> None:
    def example(model: type[BaseModel], field: str) -> Any:
        (one,) = model.model_fields[field].examples or [None]
        return one

    kinds = {f"urn:xemplar:problem:{kind.__name__}": status for kind, status in STATUSES.items()}
    status = kinds[example(api.Problem, "type")]
    assert example(api.Problem, "title") == status.phrase
    assert example(api.QueryParameters, "finding") in NIH14
    assert example(api.PredictionOut, "finding") in NIH14
    assert example(api.CaseOut, "view") in VIEWS
    timings = ask(client, IMAGE)["timings_ms"]
    assert list(example(api.AnswerOut, "timings_ms")) == list(timings)
    parameters = [p for _, o in operations(document) for p in o.get("parameters", [])]
    inside = [p for p in parameters if p["in"] == "path" and p["name"].endswith("_id")]
    ids = [one for found in values(inside, "examples") for one in found]
    assert ids
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)


def test_the_docs_page_works_without_the_internet(client: TestClient) -> None:
    page = client.get("/docs").text
    addresses = re.findall(r"""(?:href|src)=["']([^"']+)|url: '([^']+)'""", page)
    used = ["".join(found) for found in addresses]
    assert len(used) == 4
    assert all(client.get(address).status_code == 200 for address in used)
    assert "//" not in "".join(used)
    assert '"validatorUrl": null' in page
    style = client.get("/static-docs/swagger-ui.css").text
    assert not re.findall(r"url\([\"']?https?:|@import", style)


# ---- settings -------------------------------------------------------------------------------


def test_every_setting_is_described_and_read_from_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert all(field.description for field in ServiceSettings.model_fields.values())
    monkeypatch.setenv("XEMPLAR_RECENT_QUERIES", "7")
    assert read_settings().recent_queries == 7


def test_a_setting_out_of_range_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XEMPLAR_CONCURRENT_QUERIES", "0")
    with pytest.raises(ConfigurationError, match="XEMPLAR_CONCURRENT_QUERIES is '0': Input should"):
        read_settings()
