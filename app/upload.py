"""Images uploaded in a multipart form, kept in memory only."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from xemplar.api.search import MAX_IMAGES
from xemplar.errors import InvalidArgument

from .content_type import has_body
from .problems import SHOWN

MAX_BATCH = 64
"""Maximum number of images in one request."""

MAX_FIELDS = 400
"""Maximum number of other fields in a form."""

FAULTS = {
    "Missing boundary": "Its Content-Type names no boundary.",
    "Too many files": "It holds more files than this address accepts.",
    "Too many fields": f"It holds more than {MAX_FIELDS} fields.",
    "Part exceeded": "One of its fields is longer than 1 MB.",
    "The Content-Disposition": "One of its parts has no name.",
    "Cut short": "It ends before the last boundary that its Content-Type names.",
}
"""Explanation of a malformed form, by the beginning of the parser's complaint."""


def _body(image: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["image"],
        "properties": {"image": image},
        "additionalProperties": False,
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


_IMAGE = {
    "type": "string",
    "format": "binary",
    "description": "PNG, JPEG, TIFF or DICOM radiograph.",
}

REQUEST_BODY = _body(_IMAGE)
"""OpenAPI's description of a body with one image."""

IMAGE_OR_NONE = REQUEST_BODY | {
    "required": False,
    "description": "The radiograph; without a body, `text` alone is searched for.",
}
"""OpenAPI's description of a body with one image, or none."""


def _images_body(most: int) -> dict[str, Any]:
    return _body(
        {
            "type": "array",
            "items": _IMAGE,
            "minItems": 1,
            "maxItems": most,
            "description": "The images, each in a field of this name. Together they may be as "
            "large as one image may be (XEMPLAR_MAX_UPLOAD_BYTES).",
        }
    )


BATCH_BODY = _images_body(MAX_BATCH)
"""OpenAPI's description of a body with several images."""

QUESTION_BODY = _images_body(MAX_IMAGES)
"""OpenAPI's description of a body with the images of one question."""


class _Form(MultiPartParser):
    """Starlette's parser with three changes.

    Images above 1 MB stay in memory instead of a temporary file, a part named image is a file even
    without a file name, and a truncated form is refused.
    """

    spool_max_size = sys.maxsize
    _ended = False

    def on_headers_finished(self) -> None:
        """Implements MultiPartParser: a part named image is a file."""
        part = self._current_part
        _, options = parse_options_header(part.content_disposition)
        if options.get(b"name") == b"image" and b"filename" not in options:
            part.content_disposition = (part.content_disposition or b"") + b'; filename="image"'
        super().on_headers_finished()

    def on_end(self) -> None:
        """Implements MultiPartParser."""
        self._ended = True

    async def parse(self) -> FormData:
        """Implements MultiPartParser."""
        self.stream = self._whole(self.stream)
        return await super().parse()

    async def _whole(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for chunk in stream:
            yield chunk
        if not self._ended:
            raise MultiPartException("Cut short")


async def image_of(request: Request) -> AsyncIterator[UploadFile]:
    """Yield the image of a request; its memory is freed after the answer.

    Raises:
        InvalidArgument: no form, no image in it, or anything else in it.
        HTTPException: the client disconnected.
        Refusal: too many other images are being processed; before the body is read, or after it.
    """
    request.state.concurrency.check_image()
    form = await _form(request, 1)
    try:
        (radiograph,) = _images(form, 1)
        with request.state.concurrency.image():
            yield radiograph
    finally:
        await form.close()


async def image_or_none(request: Request) -> AsyncIterator[UploadFile | None]:
    """Yield the image of a request, as `image_of` does, or None for a request without a body.

    Raises:
        InvalidArgument, HTTPException, Refusal: as `image_of`; or there is neither a body, nor text
            in the address to search for.
    """
    if has_body(request.headers):
        async with asynccontextmanager(image_of)(request) as image:
            yield image
    elif "text" in request.query_params:
        yield None
    else:
        detail = str(_refusal("It is empty.", 1))
        raise InvalidArgument(f"{detail}; to search by words alone, name text in the address")


async def images_of(request: Request) -> AsyncIterator[list[UploadFile]]:
    """Yield the images of a request, 1 to `MAX_BATCH`; their memory is freed after the answer.

    Raises:
        InvalidArgument: no form, no image in it, too many, or anything else in it.
        HTTPException: the client disconnected.
        Refusal: too many other batches are being processed; before the body is read, or after it.
    """
    request.state.concurrency.check_batch()
    form = await _form(request, MAX_BATCH)
    try:
        images = _images(form, MAX_BATCH)
        with request.state.concurrency.batch(len(images)):
            yield images
    finally:
        await form.close()


async def image_and_fields_of(request: Request) -> AsyncIterator[FormData]:
    """Yield the form of a request: one image, and fields that describe it.

    Raises:
        InvalidArgument: no form, no image in it, more than one, or too many fields.
        HTTPException: the client disconnected.
        Refusal: too many other images are being processed; before the body is read, or after it.
    """
    request.state.concurrency.check_image()
    form = await _form(request, 1)
    try:
        if not isinstance(form.get("image"), UploadFile):
            raise _refusal("It holds no part named 'image'.", 1)
        with request.state.concurrency.image():
            yield form
    finally:
        await form.close()


async def _form(request: Request, most: int) -> FormData:
    if "content-type" not in request.headers:
        raise _refusal("It is empty.", most)
    request.state.body.take_images()
    parser = _Form(request.headers, request.stream(), max_files=most, max_fields=MAX_FIELDS)
    try:
        return await parser.parse()
    except MultiPartException as error:
        known = (FAULTS[begin] for begin in FAULTS if error.message.startswith(begin))
        raise _refusal(next(known, "Its parts cannot be told apart."), most) from error
    except UnicodeError as error:
        raise _refusal(
            "Its fields are not in the charset that its Content-Type names.", most
        ) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the client disconnected before its image had arrived") from error


def _images(form: FormData, most: int) -> list[UploadFile]:
    """Return the files named image.

    Raises:
        InvalidArgument: there is none, or a part has another name.
    """
    parts = form.multi_items()
    other = next((name for name, _ in parts if name != "image"), None)
    if other is not None:
        raise _refusal(f"It holds a part named {other[:SHOWN]!r}.", most)
    if not parts:
        raise _refusal("It holds no part named 'image'.", most)
    return [part for _, part in parts if isinstance(part, UploadFile)]


def _refusal(reason: str, most: int) -> InvalidArgument:
    what = "one file, the radiograph," if most == 1 else f"1 to {most} files, the radiographs, each"
    return InvalidArgument(
        f"the body of the request cannot be used: {reason} Send multipart/form-data with {what} "
        "named 'image'; other values belong in the address, as in /query?k=10"
    )
