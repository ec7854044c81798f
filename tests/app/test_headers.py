"""Headers of every answer, and the documentation page that must still work under them."""

import base64
import hashlib
import re

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.settings import Settings

from tests.app.asking import ask
from tests.films import drawn_film, encoded
from xemplar.retriever import Retriever

ORIGIN = "https://reading-room.example"


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/nowhere", "/static-docs/swagger-ui.css"])
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'self'" in headers["content-security-policy"]


def test_an_error_that_nobody_foresaw_has_them_too(
    settings: Settings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
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


def test_json_is_not_kept_and_pictures_are(client: TestClient) -> None:
    assert client.get("/readyz").headers["cache-control"] == "no-store"
    assert client.get("/nowhere").headers["cache-control"] == "no-store"
    picture = client.get(ask(client, encoded(drawn_film(81)))["image_url"])
    assert "immutable" in picture.headers["cache-control"]


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
    settings: Settings, client: TestClient, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
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
