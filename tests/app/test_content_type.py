"""Bodies that are no form with an image, or no JSON: refusals say what came and what to send."""

import gzip
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from xemplar_app.body import MAX_JSON_BYTES
from xemplar_app.content_type import check_json

from tests.app.asking import problem
from tests.images import drawn_image, encoded
from xemplar.api.ratings import MAX_RATINGS

PNG = encoded(drawn_image(1))
FORM = {"content-type": "multipart/form-data; boundary=XX"}
CASE = "0" * 16

IMAGE_ROUTES = ("/query", "/query/batch", "/cases")
JSON_ROUTES = {
    ("PATCH", f"/cases/{CASE}"): {"sex": "F"},
    ("PUT", f"/ratings/{CASE}/reader"): {"ratings": []},
    ("POST", "/jobs/reindex"): {},
    ("POST", "/keys"): {"name": "ward", "role": "reader"},
}


def part(disposition: str, *headers: str, content: bytes = PNG) -> bytes:
    lines = [f"Content-Disposition: {disposition}", *headers]
    return b"--XX\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XX--\r\n"


IMAGE = part('form-data; name="image"; filename="a.png"')


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="image"',
        "form-data; name=image",
        'form-data;name="image"',
        'FORM-DATA; NAME="image"',
        'form-data; name="image"; filename=""',
        'form-data; filename="a.png"; name="image"',
        'form-data; name="image"; filename="a;\\"b.png"',
        "form-data; name=\"image\"; filename*=UTF-8''%C3%A9.png",
        'form-data; name="image"; filename="\u00e9\u4e2d.png"',
    ],
)
@pytest.mark.parametrize("headers", [(), ("Content-Type: text/plain; charset=utf-8",)])
def test_a_part_called_image_is_the_image(
    client: TestClient, disposition: str, headers: tuple[str, ...]
) -> None:
    response = client.post("/query", content=form(part(disposition, *headers)), headers=FORM)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="XX"',
        "multipart/form-data;boundary=XX; charset=utf-8",
        "multipart/form-data; charset=nonsense; boundary=XX",
        "Multipart/Form-Data; Boundary=XX",
    ],
)
def test_how_the_content_type_is_written_does_not_matter(
    client: TestClient, content_type: str
) -> None:
    headers = {"content-type": content_type, "content-encoding": "identity"}
    assert client.post("/query", content=form(IMAGE), headers=headers).status_code == 200


def test_the_image_may_stand_anywhere_among_what_is_said_of_it(own_client: TestClient) -> None:
    image = part('form-data; name="image"')
    source, sex = (
        part(f'form-data; name="{name}"', content=value)
        for name, value in (("source", b"ward"), ("sex", b"F"))
    )
    for parts in ((image, source, sex), (source, image, sex), (source, sex, image)):
        response = own_client.post("/cases", content=form(*parts), headers=FORM)
        assert response.status_code in (200, 201), response.text
        assert (response.json()["source"], response.json()["sex"]) == ("ward", "F")


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, "It is empty."),
        ({"content": b"", "headers": FORM}, "It is empty."),
        ({"content": PNG, "headers": FORM}, "Its parts cannot be told apart."),
        ({"content": IMAGE, "headers": FORM}, "It ends before the last boundary"),
        ({"content": IMAGE[:90], "headers": FORM}, "It ends before the last boundary"),
        ({"content": form(), "headers": FORM}, "It holds no part named 'image'."),
        ({"content": form(part("form-data")), "headers": FORM}, "One of its parts has no name."),
        (
            {"content": form(IMAGE), "headers": {"content-type": "multipart/form-data"}},
            "Its Content-Type names no boundary.",
        ),
        (
            {
                "content": form(part('form-data; name="x"', content=b"y")),
                "headers": {"content-type": "multipart/form-data; charset=undefined; boundary=XX"},
            },
            "Its fields are not in the charset that its Content-Type names.",
        ),
        ({"files": {"other": PNG}}, "It holds a part named 'other'."),
        ({"data": {"k": "7"}, "files": {"image": PNG}}, "It holds a part named 'k'."),
        (
            {"files": [("image", PNG), ("image", PNG)]},
            "It holds more files than this address accepts.",
        ),
        (
            {"files": [("image", PNG), *((f"f{n}", (None, "x")) for n in range(401))]},
            "It holds more than 400 fields.",
        ),
        (
            {"files": [("image", PNG), ("note", (None, "x" * 2**21))]},
            "One of its fields is longer than 1 MB.",
        ),
    ],
)
def test_a_form_that_is_not_one_image(
    client: TestClient, body: dict[str, Any], wanted: str
) -> None:
    detail = problem(client.post("/query", **body), 422, "InvalidArgument")
    assert wanted in detail
    assert "Send multipart/form-data with one file, the radiograph, named 'image'" in detail


@pytest.mark.parametrize("path", IMAGE_ROUTES)
@pytest.mark.parametrize(
    ("content_type", "named"),
    [
        ("application/dicom", "application/dicom"),
        ("image/png", "image/png"),
        ("application/json", "application/json"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("multipart/related; boundary=XX", "multipart/related"),
        ("nonsense", "nonsense"),
        (None, "no Content-Type"),
    ],
)
def test_an_image_comes_in_a_form_and_not_by_itself(
    client: TestClient, path: str, content_type: str | None, named: str
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    response = client.post(path, content=PNG, headers=headers)
    detail = problem(response, 415, "UnsupportedMediaType")
    assert named in detail
    assert "send multipart/form-data with the radiograph as a file named 'image'" in detail
    assert response.headers["accept"] == "multipart/form-data"


@pytest.mark.parametrize(("method", "path"), JSON_ROUTES)
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/dicom", None]
)
def test_values_come_as_json(
    own_client: TestClient, method: str, path: str, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    content = json.dumps(JSON_ROUTES[method, path])
    response = own_client.request(method, path, content=content, headers=headers)
    detail = problem(response, 415, "UnsupportedMediaType")
    assert (content_type or "no Content-Type") in detail
    assert "send JSON, with the header `Content-Type: application/json`" in detail
    assert response.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"],
)
def test_how_the_type_of_json_is_written_does_not_matter(
    own_client: TestClient, content_type: str
) -> None:
    for (method, path), body in JSON_ROUTES.items():
        headers = {"content-type": content_type}
        response = own_client.request(method, path, content=json.dumps(body), headers=headers)
        assert response.status_code in (201, 202, 204, 401, 404), response.text


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "gzip, identity"])
def test_compressed_bodies_are_refused_by_name(client: TestClient, encoding: str) -> None:
    compressed = {"content-encoding": encoding}
    asked = [("POST", path, form(IMAGE), FORM) for path in IMAGE_ROUTES]
    asked += [
        (method, path, json.dumps(body).encode(), {"content-type": "application/json"})
        for (method, path), body in JSON_ROUTES.items()
    ]
    for method, path, content, headers in asked:
        response = client.request(
            method, path, content=gzip.compress(content), headers=headers | compressed
        )
        detail = problem(response, 415, "UnsupportedMediaType")
        assert f"(Content-Encoding: {encoding.lower()})" in detail
        assert response.headers["accept-encoding"] == "identity"


def test_a_request_without_a_body_needs_no_type(own_client: TestClient) -> None:
    empty = {"content-type": "application/x-www-form-urlencoded"}  # what `curl -d ''` sends
    assert own_client.post("/jobs/reindex").status_code == 202
    assert own_client.post("/jobs/reindex", content=b"", headers=empty).status_code == 202


def test_every_route_that_takes_a_body_says_that_it_refuses_others(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    for operation in operations:
        if "requestBody" in operation:
            assert "415" in operation["responses"], operation["operationId"]


@given(
    content_type=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
    body=st.one_of(st.binary(max_size=200), st.just(form(IMAGE))),
)
def test_no_content_type_and_no_body_is_more_than_refused(
    client: TestClient, content_type: str, body: bytes
) -> None:
    for form_or_not in ("multipart/form-data; ", ""):
        headers = {"content-type": form_or_not + content_type}
        assert client.post("/query", content=body, headers=headers).status_code < 500


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


SIZE = MAX_JSON_BYTES - 100
MANY = {
    "open": b"[" * SIZE,
    "nested": nested(SIZE // 2),
    "objects": b'{"a":' * (SIZE // 5),
    "nested many times": b"[" + b",".join([nested(900)] * (SIZE // 1801)) + b"]",
    "in a field": b'{"ratings":[' + b"[]," * (SIZE // 3 - 20) + b"[]]}",
    "names": b"{" + b",".join(b'"%x":1' % n for n in range(25_000)) + b"}",
}


@pytest.mark.parametrize("body", MANY.values(), ids=MANY)
@pytest.mark.parametrize(("method", "path"), JSON_ROUTES, ids=lambda value: str(value))
def test_json_of_too_many_parts_is_refused_before_it_is_parsed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: bytes
) -> None:
    def parse(*_: object, **__: object) -> None:
        pytest.fail("it is parsed")

    monkeypatch.setattr("starlette.requests.Request.json", parse)
    response = client.request(
        method, path, content=body, headers={"content-type": "application/json"}
    )
    assert "more than 4,000" in response.json()["detail"]
    assert response.status_code == 422


def test_as_many_ratings_as_there_may_be_are_not_too_many_parts() -> None:
    rated = [{"case_id": CASE, "rating": 5}] * MAX_RATINGS
    check_json(json.dumps({"ratings": rated}).encode())


def test_of_many_wrong_values_the_first_ones_are_told(client: TestClient) -> None:
    wrong = {f"a{number}": 1 for number in range(1000)}
    detail = problem(client.post("/keys", json=wrong), 422, "InvalidRequest")
    assert detail.endswith("; and 982 more")
