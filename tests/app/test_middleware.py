"""HEAD wherever GET is answered, and a proxy's path prefix, stripped or not."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.app.asking import ask
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from xemplar.model.encoder import Precision

IMAGE = encoded(drawn_image(61, 300, 240))
PREFIX = "/xemplar"


@pytest.fixture
def prefixed(own: SmallStore) -> Iterator[TestClient]:
    settings = ServiceSettings(
        store=own.store.root,
        checkpoint=own.checkpoint,
        precision=Precision.FLOAT32,
        root_path=PREFIX,
    )
    with TestClient(create_app(settings, open_retriever(settings))) as client:
        yield client


def places(client: TestClient, root: str = "") -> list[str]:
    """Addresses of every kind that a GET answers."""
    answer = ask(client, IMAGE, k=1)
    (near,) = answer["neighbours"]
    case = f"{root}/cases/{near['case_id']}"
    return [
        *(f"{root}/{name}" for name in ("", "docs", "openapi.json", "docs/openapi.json")),
        *(f"{root}/{name}" for name in ("page/main.js", "static-docs/swagger-ui.css")),
        *(f"{root}/{name}" for name in ("healthz", "readyz", "metrics", "me", "findings")),
        *(f"{root}/{name}" for name in ("cases", "audit", "errors", "jobs", "keys")),
        *(f"{root}/{name}" for name in ("generations", "ratings.csv")),
        *(case, f"{case}/similar", answer["image_url"], answer["overlay_url"]),
        *(near["image_url"], near["overlay_url"], near["evidence_url"]),
    ]


def test_head_is_answered_as_get_without_the_content(client: TestClient) -> None:
    for place in places(client):
        got, head = client.get(place), client.head(place)
        assert (head.status_code, head.content) == (200, b""), place
        for name in ("content-type", "content-security-policy", "cache-control", "etag"):
            assert head.headers.get(name) == got.headers.get(name), place
        if place.endswith(("/metrics", "/audit", "/errors", "/similar")):  # other each time
            assert int(head.headers["content-length"]) > 0
        else:
            assert head.headers["content-length"] == str(len(got.content)), place


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), ("/query", 405), (f"/cases/{'0' * 16}", 404), ("/cases/XYZ", 422)],
)
def test_head_is_refused_as_get_is(client: TestClient, path: str, status: int) -> None:
    head = client.head(path)
    assert (head.status_code, head.content) == (status, b"")
    assert head.headers.get("allow") == ("POST" if status == 405 else None)


def test_no_head_stands_in_the_document(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert not [path for path, operations in paths.items() if "head" in operations]


@pytest.mark.parametrize("stripped", [True, False])
def test_a_proxy_may_strip_its_prefix_or_keep_it(prefixed: TestClient, stripped: bool) -> None:
    client = prefixed

    def through_proxy(path: str) -> str:
        assert path.startswith(f"{PREFIX}/")
        return path.removeprefix(PREFIX) if stripped else path

    for place in places(client, PREFIX):
        assert client.get(through_proxy(place)).status_code == 200, place
    docs = client.get(through_proxy(f"{PREFIX}/docs")).text
    assert f"'{PREFIX}/docs/openapi.json'" in docs
    assert f'"{PREFIX}/static-docs/swagger-ui.css"' in docs
    document: dict[str, Any] = client.get(through_proxy(f"{PREFIX}/openapi.json")).json()
    assert document["servers"] == [{"url": PREFIX}]
    posted = client.post(
        through_proxy(f"{PREFIX}/cases"), files={"image": IMAGE}, data={"source": "ward"}
    )
    assert posted.headers["location"] == f"{PREFIX}/cases/{posted.json()['case_id']}"
    page = client.get(through_proxy(f"{PREFIX}/cases"), params={"limit": 1}).json()
    assert page["next"].startswith(f"{PREFIX}/cases?")
    assert client.get(through_proxy(page["next"])).status_code == 200


def test_the_prefix_itself_is_the_page(prefixed: TestClient) -> None:
    client = prefixed
    assert client.get(PREFIX).url.path == f"{PREFIX}/"
    assert client.get(f"{PREFIX}y/healthz").status_code == 404
