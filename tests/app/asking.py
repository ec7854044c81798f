"""How tests of the service ask and read."""

import io
from collections.abc import Callable
from typing import Any

import httpx2
from fastapi.testclient import TestClient
from PIL import Image

MEDIA_TYPE = "application/problem+json"

Service = Callable[..., TestClient]
"""Makes a service of a test's own (see conftest); keyword arguments are settings."""


def bearer(secret: str) -> dict[str, str]:
    """The header that an API key comes in."""
    return {"Authorization": f"Bearer {secret}"}


def ask(client: httpx2.Client, radiograph: bytes, **question: Any) -> dict[str, Any]:
    """The answer of ``POST /query``."""
    response = client.post("/query", params=question, files={"image": radiograph})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def picture_size(response: httpx2.Response) -> tuple[int, int]:
    """(width, height) of the JPEG that a response brings."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/jpeg"
    return jpeg_size(response.content)


def jpeg_size(picture: bytes) -> tuple[int, int]:
    """(width, height) of a whole JPEG."""
    image = Image.open(io.BytesIO(picture))
    assert image.format == "JPEG"
    image.load()
    return image.size


def problem(response: httpx2.Response, status: int, kind: str) -> str:
    """The detail of a problem+json response, once its form is checked."""
    assert response.headers["content-type"] == MEDIA_TYPE, response.text
    body = response.json()
    assert (response.status_code, body["status"]) == (status, status), body
    assert body["type"] == f"urn:xemplar:problem:{kind}"
    assert set(body) == {"type", "title", "status", "detail", "instance"}
    assert body["instance"] == f"urn:xemplar:request:{response.headers['x-request-id']}"
    detail: str = body["detail"]
    return detail
