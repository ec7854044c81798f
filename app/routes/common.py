"""What several addresses share: parameters, pictures, and the answers that are no success."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Path, Query, Response

from ..problems import described

Responses = dict[int | str, dict[str, Any]]

BAD_REQUEST = described(HTTPStatus.BAD_REQUEST, "The film cannot be read.")
NOT_FOUND = described(HTTPStatus.NOT_FOUND, "No such case or query.")
TOO_LARGE = described(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body or its film is too large.")
TOO_SLOW = described(HTTPStatus.REQUEST_TIMEOUT, "The body stood still or came too slowly.")
NO_JSON = (
    described(HTTPStatus.BAD_REQUEST, "The body is no text, and so no JSON.") | TOO_LARGE | TOO_SLOW
)
OTHER_KIND = described(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A file or object of another kind.")
INVALID = described(HTTPStatus.UNPROCESSABLE_ENTITY, "No radiograph, or a value outside its range.")
PICTURE: Responses = {
    200: {
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        "description": "A JPEG picture.",
    },
    **NOT_FOUND,
    **INVALID,
}

QueryId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["5f2b6c0a9d3e4f71"])]
CaseId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["0fd0a7f2b8a1c9de"])]
Finding = Annotated[
    str | None, Query(max_length=100, description="Finding to explain.", examples=["Effusion"])
]
Side = Annotated[int, Query(ge=64, le=1024, description="Longest side in pixels.")]

IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}
CHANGING = {"Cache-Control": "private, no-cache"}


def jpeg_response(picture: bytes, caching: dict[str, str]) -> Response:
    """A picture, with how long it may be kept."""
    return Response(picture, media_type="image/jpeg", headers=caching)


def operation_id(route: Any) -> str:
    """The name of the function: a client's method is called as the code is."""
    return str(route.name)
