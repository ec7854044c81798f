"""How tests of the service ask and read."""

import io
from typing import Any

import httpx
from PIL import Image

MEDIA_TYPE = "application/problem+json"


def ask(client: httpx.Client, film: bytes, **question: Any) -> dict[str, Any]:
    """The answer of ``POST /query``."""
    response = client.post("/query", params=question, files={"image": film})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def picture_size(response: httpx.Response) -> tuple[int, int]:
    """(width, height) of the JPEG that a response brings."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/jpeg"
    image = Image.open(io.BytesIO(response.content))
    assert image.format == "JPEG"
    image.load()
    return image.size


def problem(response: httpx.Response, status: int, kind: str) -> str:
    """The detail of a problem+json response, once its form is checked."""
    assert response.headers["content-type"] == MEDIA_TYPE, response.text
    body = response.json()
    assert (response.status_code, body["status"]) == (status, status), body
    assert body["type"] == f"urn:xemplar:problem:{kind}"
    assert set(body) == {"type", "title", "status", "detail"}
    detail: str = body["detail"]
    return detail
