"""``GET /errors``: what went wrong lately, and nothing that somebody wrote."""

from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from xemplar_app import recent
from xemplar_app.body import OVERHEAD
from xemplar_app.main import create_app
from xemplar_app.settings import ServiceSettings

from tests.app.asking import Service, ask, bearer
from tests.app.conftest import MAX_BYTES
from tests.images import drawn_image, encoded
from xemplar.errors import CorruptArtefact
from xemplar.operations.keys import Keys, Role
from xemplar.retrieval.retriever import Retriever

IMAGE = encoded(drawn_image(84, 300, 200))


def errors(client: TestClient) -> list[dict[str, Any]]:
    response = client.get("/errors")
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["errors"]
    return found


def refuse(client: TestClient, status: int, image: bytes, **sent: Any) -> None:
    assert client.post("/query", files={"image": image}, **sent).status_code == status


def test_a_refused_image_is_told_with_all_that_an_operator_needs(
    service: Service, keys: Keys
) -> None:
    key, secret = keys.create("x", Role.ADMIN)
    client = service()
    client.headers = bearer(secret)  # type: ignore[assignment]
    response = client.post("/query", files={"image": IMAGE[:500]})
    (error,) = errors(client)
    age = datetime.now(UTC) - datetime.fromisoformat(error.pop("at"))
    assert 0 <= age.total_seconds() < 60
    assert error.pop("ms") > 0
    assert error == {
        "request_id": response.headers["x-request-id"],
        "key": key.id,
        "method": "POST",
        "route": "/query",
        "status": 400,
        "problem": "UnreadableImage",
    }


def test_an_image_that_is_too_large_is_told_though_nobody_read_it(service: Service) -> None:
    client = service()
    refuse(client, 413, bytes(MAX_BYTES + OVERHEAD + 1))
    (error,) = errors(client)
    assert (error["status"], error["problem"]) == (413, "ImageTooLarge")


def test_answers_that_are_the_services_fault_are_told_whatever_was_asked(
    settings: ServiceSettings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retriever, "close", lambda: None)  # other tests go on with it
    failures = {CorruptArtefact("/a/path"): "CorruptArtefact", ZeroDivisionError(): "Internal"}
    app = create_app(settings, retriever)
    with TestClient(app, raise_server_exceptions=False) as client:
        for failure in failures:

            def fail(*_: object, failure: Exception = failure) -> None:
                raise failure

            monkeypatch.setattr(retriever, "indexed", fail)
            assert client.get(f"/cases/{'0' * 16}").status_code == 500
        found = errors(client)
    assert [error["problem"] for error in found] == [*reversed(failures.values())]
    assert {error["route"] for error in found} == {"/cases/{case_id}"}


def test_what_is_answered_as_it_should_be_is_no_error(service: Service) -> None:
    client = service()
    ask(client, IMAGE)
    assert client.get(f"/cases/{'0' * 16}").status_code == 404
    assert client.get("/cases?limit=0").status_code == 422
    assert errors(client) == []


def test_probes_of_a_service_that_is_not_in_order_push_nothing_out(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise CorruptArtefact("x")

    client = service()
    with monkeypatch.context() as broken:
        broken.setattr("xemplar_app.security.KeyRing.known", fail)
        assert client.get("/readyz").status_code == 500
    assert errors(client) == []


def test_only_so_many_are_kept_the_newest_first(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "MAX_ERRORS", 5)
    client = service()
    refused = [client.post("/query", files={"image": b""}) for _ in range(7)]
    ids = [response.headers["x-request-id"] for response in refused]
    assert [error["request_id"] for error in errors(client)] == ids[:1:-1]


def test_nothing_that_somebody_wrote_is_told(service: Service) -> None:
    client = service()
    client.post("/query?finding=SECRET", files={"image": ("SECRET.png", IMAGE)})
    client.post("/query?SECRET=1", files={"SECRET": ("SECRET.png", IMAGE)})
    client.post("/SECRET", content=b"SECRET", headers={"User-Agent": "SECRET"})
    response = client.get("/errors")
    assert len(response.json()["errors"]) == 2
    assert "SECRET" not in response.text
