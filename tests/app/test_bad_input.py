"""Bad input: each is answered with what was wrong, the limit, and what to do. Never with 500."""

import struct
import zlib
from collections.abc import Callable
from typing import Any

import gdcm
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.app.asking import MEDIA_TYPE, problem
from tests.app.conftest import MAX_BYTES
from tests.images import compressed, dicom, drawn_image, encoded

IMAGE = drawn_image(1)
PNG, JPEG, TIFF, DICOM = (
    encoded(IMAGE),
    encoded(IMAGE, "JPEG"),
    encoded(IMAGE, "TIFF"),
    dicom(IMAGE),
)
PACKED = compressed(DICOM, gdcm.TransferSyntax.JPEG2000Lossless)


def bomb(side: int) -> bytes:
    """A PNG of a few bytes whose header speaks of side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def photograph() -> bytes:
    return encoded(np.stack([drawn_image(n) for n in range(3)], axis=-1), "JPEG")


def hundred_megapixels() -> bytes:
    return encoded(np.zeros((10_000, 10_000), bool))


BAD_IMAGES: dict[str, tuple[Callable[[], bytes], int, str, str]] = {
    "empty": (lambda: b"", 400, "UnreadableImage", "the file is empty; send a PNG"),
    "truncated PNG": (lambda: PNG[: len(PNG) // 2], 400, "UnreadableImage", "cut short"),
    "truncated JPEG": (lambda: JPEG[: len(JPEG) // 2], 400, "UnreadableImage", "cut short"),
    "truncated DICOM": (lambda: DICOM[: len(DICOM) // 2], 400, "UnreadableImage", "DICOM"),
    "no picture": (lambda: b"%PDF-1.7 hello", 400, "UnreadableImage", "no PNG, JPEG, TIFF or D"),
    "1 x 1": (lambda: encoded(IMAGE[:1, :1]), 422, "NotARadiograph", "at least 64"),
    "constant": (lambda: encoded(IMAGE * 0 + 7), 422, "NotARadiograph", "value 7"),
    "colour": (photograph, 422, "NotARadiograph", "in colour"),
    "100 megapixels": (hundred_megapixels, 413, "ImageTooLarge", "limit"),
    "bomb": (lambda: bomb(60_000), 413, "ImageTooLarge", "pixels"),
    "no pixels": (lambda: dicom(IMAGE, PixelData=None), 415, "UnsupportedImage", "no pixel data"),
    "frames": (
        lambda: dicom(np.concatenate([IMAGE, IMAGE]), Rows=96, NumberOfFrames="2"),
        415,
        "UnsupportedImage",
        "has 2 frames; send a single image",
    ),
    "too many bytes": (
        lambda: PNG + bytes(MAX_BYTES),
        413,
        "ImageTooLarge",
        f"the limit is {MAX_BYTES:,}",
    ),
    "far too many bytes": (
        lambda: PNG + bytes(10 * MAX_BYTES),
        413,
        "ImageTooLarge",
        f"the limit of {MAX_BYTES:,} bytes",
    ),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_an_image_that_cannot_be_used(client: TestClient, name: str) -> None:
    image, status, kind, wanted = BAD_IMAGES[name]
    response = client.post("/query", files={"image": image()})
    assert wanted in problem(response, status, kind)


@pytest.mark.parametrize(
    ("question", "status", "kind", "wanted"),
    [
        ({"k": 0}, 422, "InvalidRequest", "k is '0': Input should be greater than or equal to 1"),
        ({"k": 101}, 422, "InvalidRequest", "k is '101': Input should be less than or equal to 1"),
        ({"k": "abc"}, 422, "InvalidRequest", "k is 'abc': Input should be a valid integer"),
        ({"finding": "Gout"}, 422, "UnknownFinding", "'Gout'; this checkpoint knows: Atelectasis"),
        ({"finding": "G" * 101}, 422, "InvalidRequest", "at most 100 characters"),
        ({"include": "all"}, 422, "InvalidRequest", "include is 'all': Input should be 'overlays'"),
        ({"findings": "Mass"}, 422, "InvalidRequest", "findings is 'Mass': Extra inputs"),
        ({"exclude": "0" * 16}, 404, "NotFound", "there is no case '0000000000000000'"),
        ({"exclude": "../../etc"}, 422, "InvalidRequest", "exclude.0 is '../../etc': String sho"),
        ({"exclude": ["x"] * 101}, 422, "InvalidRequest", "at most 100 items"),
    ],
)
def test_a_question_that_cannot_be_answered(
    client: TestClient, question: dict[str, Any], status: int, kind: str, wanted: str
) -> None:
    response = client.post("/query", params=question, files={"image": PNG})
    assert wanted in problem(response, status, kind)


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/static-docs/nothing.js", 404, None),
        ("GET", "/query", 405, "POST"),
        ("DELETE", "/query", 405, "POST"),
        ("PUT", "/cases", 405, "GET, HEAD, POST"),
        ("OPTIONS", f"/cases/{'0' * 16}", 405, "GET, HEAD, PATCH, DELETE"),
        ("POST", "/readyz", 405, "GET, HEAD"),
        ("POST", "/", 405, "GET, HEAD"),
        ("POST", "/docs", 405, "GET, HEAD"),
        ("POST", "/openapi.json", 405, "GET, HEAD"),
        ("POST", "/page/main.js", 405, "GET, HEAD"),
        ("PUT", "/static-docs/swagger-ui.css", 405, "GET, HEAD"),
    ],
)
def test_an_address_or_a_method_that_does_not_exist(
    client: TestClient, method: str, path: str, status: int, allowed: str | None
) -> None:
    response = client.request(method, path)
    assert f"{method} {path} is not supported by this service" in problem(response, status, "Http")
    assert response.headers.get("allow") == allowed


def test_ids_of_another_form_or_of_nothing(client: TestClient) -> None:
    for path in ("/cases/XYZ", "/cases/..%2F..", "/queries/0/image", "/cases/1234/image"):
        response = client.get(path)
        assert response.status_code in (404, 422)
        assert response.headers["content-type"] == MEDIA_TYPE
    detail = problem(client.get(f"/cases/{'0' * 16}/image"), 404, "NotFound")
    assert detail == "there is no case '0000000000000000' in the catalog"


MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert"]), st.integers(0), st.binary(max_size=8)),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize(
    "image", [PNG, JPEG, TIFF, DICOM, PACKED], ids=lambda image: image[:4].hex()
)
@given(changes=MUTATIONS)
def test_an_image_that_was_tampered_with_is_answered_or_refused(
    client: TestClient, image: bytes, changes: list[tuple[str, int, bytes]]
) -> None:
    mutated = bytearray(image)
    for kind, place, content in changes:
        at = place % (len(mutated) + 1)
        if kind == "cut":
            del mutated[at : at + len(content)]
        else:
            mutated[at : at + (len(content) if kind == "set" else 0)] = content
    response = client.post("/query", files={"image": bytes(mutated)})
    assert response.status_code == 200 or 400 <= response.status_code < 500
    if response.status_code != 200:
        assert response.headers["content-type"] == MEDIA_TYPE


def test_the_photograph_and_the_bomb_are_what_they_are_meant_to_be() -> None:
    import io

    assert Image.open(io.BytesIO(photograph())).mode == "RGB"
    assert len(bomb(60_000)) < 2_000
