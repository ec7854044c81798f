"""Headers of every answer, and the documentation page that must still work under them."""

import base64
import hashlib
import re

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.settings import ServiceSettings

from tests.app.asking import ask
from tests.images import drawn_image, encoded
from xemplar.retrieval.retriever import Retriever

ORIGIN = "https://reading-room.example"


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/nowhere", "/static-docs/swagger-ui.css"])
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'self'" in headers["content-security-policy"]


def test_an_error_that_nobody_foresaw_has_them_too(
    settings: ServiceSettings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(retriever, "close", lambda: None)
    monkeypatch.setattr(retriever, "indexed", fail)
    app = create_app(settings, retriever)
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get(f"/cases/{'0' * 16}")
    assert response.status_code == 500
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"] in response.json()["instance"]


def test_no_browser_keeps_anything_of_a_patient(client: TestClient) -> None:
    answer = ask(client, encoded(drawn_image(81)), include="maps")
    query, case = answer["query_id"], answer["neighbours"][0]["case_id"]
    known = {"query_id": query, "case_id": case}
    operations = client.get("/openapi.json").json()["paths"]
    asked = [
        path.format(**known)
        for path in operations
        if set(re.findall(r"{(.*?)}", path)) <= known.keys()
    ]
    assert f"/cases/{case}/evidence/{query}" in asked
    for path in (*asked, "/nowhere"):
        for method in ("GET", "HEAD"):
            headers = client.request(method, path, params={"finding": "Mass"}).headers
            assert headers["cache-control"] == "no-store", path


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/style.css"])
def test_the_files_of_the_page_are_kept_and_asked_about_each_time(
    client: TestClient, path: str
) -> None:
    assert client.get(path).headers["cache-control"] == "no-cache"


def test_the_browser_empties_its_cache_when_a_key_is_forgotten(client: TestClient) -> None:
    response = client.post("/page/forget")
    assert response.status_code == 204
    assert response.headers["clear-site-data"] == '"cache"'


def test_the_docs_page_may_run_its_own_scripts_and_no_other(client: TestClient) -> None:
    response = client.get("/docs")
    policy = dict(
        part.strip().split(" ", 1)
        for part in response.headers["content-security-policy"].split(";")
    )
    inline = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    assert len(inline) == 1
    digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    for source in re.findall(r'(?:src|href)="([^"]+)"', response.text):
        assert source.startswith("/static-docs/")


def test_no_other_origin_may_ask_unless_a_setting_names_it(
    settings: ServiceSettings,
    client: TestClient,
    retriever: Retriever,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retriever, "close", lambda: None)
    asks = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    refused = client.options("/query", headers=asks)
    assert "access-control-allow-origin" not in refused.headers
    named = settings.model_copy(update={"cors_origins": f"https://a.example,{ORIGIN}"})
    with TestClient(create_app(named, retriever)) as open_client:
        allowed = open_client.options("/query", headers=asks)
        assert allowed.headers["access-control-allow-origin"] == ORIGIN
        other = open_client.get("/healthz", headers={"Origin": "https://b.example"})
        assert "access-control-allow-origin" not in other.headers
