"""The films of a request: the only parts of a multipart form, kept in memory alone."""

import sys
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from xemplar.errors import InvalidArgument

MAX_BATCH = 64
"""Films that one request may bring."""

MAX_FIELDS = 400
"""Other fields of a form, beside the film."""


def _body(image: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["image"],
        "properties": {"image": image},
        "additionalProperties": False,
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


_FILM = {
    "type": "string",
    "format": "binary",
    "description": "PNG, JPEG, TIFF or DICOM radiograph.",
}

REQUEST_BODY = _body(_FILM)
"""How OpenAPI describes a body with one film."""

BATCH_BODY = _body(
    {
        "type": "array",
        "items": _FILM,
        "minItems": 1,
        "maxItems": MAX_BATCH,
        "description": "The films, each in a field of this name. Together they may be as large "
        "as one film may be (XEMPLAR_MAX_UPLOAD_BYTES).",
    }
)
"""How OpenAPI describes a body with several."""


class _InMemory(MultiPartParser):
    """Starlette's own would write a film above 1 MB to a temporary file."""

    spool_max_size = sys.maxsize


async def film_of(request: Request) -> AsyncIterator[UploadFile]:
    """The film that a request brings; let go of once the request is answered.

    Raises:
        InvalidArgument: no form, no film in it, or more than the film.
        HTTPException: the client has left.
        Refusal: too many other films are worked on.
    """
    form = await _form(request, 1)
    try:
        (film,) = _films(form, 1)
        with request.state.places.holding():
            yield film
    finally:
        await form.close()


async def films_of(request: Request) -> AsyncIterator[list[UploadFile]]:
    """The films that a request brings, 1 to `MAX_BATCH`; let go of once it is answered.

    Raises:
        InvalidArgument: no form, no film in it, too many, or more than films.
        HTTPException: the client has left.
        Refusal: with the films of other requests they are too many at once.
    """
    form = await _form(request, MAX_BATCH)
    try:
        films = _films(form, MAX_BATCH)
        with request.state.places.holding(len(films)):
            yield films
    finally:
        await form.close()


async def film_and_fields_of(request: Request) -> AsyncIterator[FormData]:
    """The form that a request brings: one film, and what is said of it.

    Raises:
        InvalidArgument: no form, no film in it, more than one, or too many fields.
        HTTPException: the client has left.
        Refusal: too many other films are worked on.
    """
    form = await _form(request, 1, MAX_FIELDS)
    try:
        if not isinstance(form.get("image"), UploadFile):
            raise _refusal("It holds no file named 'image'.", 1)
        with request.state.places.holding():
            yield form
    finally:
        await form.close()


async def _form(request: Request, most: int, fields: int = 0) -> FormData:
    if "content-type" not in request.headers:
        raise _refusal("It says nothing of its Content-Type.", most)
    request.state.body.take_films()
    parser = _InMemory(request.headers, request.stream(), max_files=most, max_fields=fields)
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise _refusal(error.message, most) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the client left before its film had arrived") from error


def _films(form: FormData, most: int) -> list[UploadFile]:
    parts = form.multi_items()
    films = [part for name, part in parts if name == "image" and isinstance(part, UploadFile)]
    if not films or len(films) < len(parts):
        raise _refusal("It holds no file named 'image', or files of other names.", most)
    return films


def _refusal(reason: str, most: int) -> InvalidArgument:
    what = "one file, the film," if most == 1 else f"1 to {most} files, the films, each"
    return InvalidArgument(
        f"the body of the request cannot be used: {reason} Send multipart/form-data with {what} "
        "named 'image'; other values belong in the address, as /query?k=10"
    )
