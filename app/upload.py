"""The film of a request: the one part of a multipart form, kept in memory alone."""

import sys
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from xemplar.errors import InvalidArgument

REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {
                        "type": "string",
                        "format": "binary",
                        "description": "PNG, JPEG, TIFF or DICOM radiograph.",
                    }
                },
            }
        }
    },
}
"""How OpenAPI describes it."""


class _InMemory(MultiPartParser):
    """Starlette's own would write a film above 1 MB to a temporary file."""

    spool_max_size = sys.maxsize


async def film_of(request: Request) -> AsyncIterator[UploadFile]:
    """The film that a request brings; let go of once the request is answered.

    Raises:
        InvalidArgument: no form, no film in it, or more than the film.
        HTTPException: the client has left.
    """
    form = await _form(request)
    try:
        film = form.get("image")
        if not isinstance(film, UploadFile):
            raise _refusal("It holds no file named 'image'.")
        yield film
    finally:
        await form.close()


async def _form(request: Request) -> FormData:
    if "content-type" not in request.headers:
        raise _refusal("It says nothing of its Content-Type.")
    parser = _InMemory(request.headers, request.stream(), max_files=1, max_fields=0)
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise _refusal(error.message) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the client left before its film had arrived") from error


def _refusal(reason: str) -> InvalidArgument:
    return InvalidArgument(
        f"the body of the request cannot be used: {reason} Send multipart/form-data with one "
        "file, the film, named 'image'; other values belong in the address, as /query?k=10"
    )
