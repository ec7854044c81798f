"""A query is its key's own: unknown to all others, administrators too, until it is shared."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.app.asking import Service, ask, bearer, problem
from tests.images import drawn_image, encoded
from xemplar.operations.keys import Keys, Role

IMAGE = encoded(drawn_image(79, 600, 450))


@pytest.fixture
def others(keys: Keys) -> list[dict[str, str]]:
    return [bearer(keys.create(role, role)[1]) for role in Role if role.covers(Role.READER)]


@pytest.fixture
def client(service: Service, keys: Keys, others: list[dict[str, str]]) -> TestClient:
    """Asks with the key of whoever sent the image, unless another is named."""
    secret = keys.create("ann", Role.READER)[1]
    client = service(recent_queries=4)  # it knows all keys from now on
    client.headers.update(bearer(secret))
    return client


def addresses(client: TestClient, query: str) -> Iterator[tuple[str, str]]:
    """(method, path) of all that is said of a query, as the OpenAPI document lists them."""
    case = client.get("/cases").json()["cases"][0]["case_id"]
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        if path.endswith("/values"):
            continue  # this image has none; see test_values
        if "{query_id}" in path and "{collection_id}" not in path:
            filled = path.replace("{query_id}", query).replace("{case_id}", case)
            rater = "?rater=bob" if path.endswith("ranking") else ""
            for method in methods.keys() - {"delete"}:  # it would end the test
                yield method, filled + rater


def test_a_query_is_unknown_to_every_other_key_whatever_is_asked_of_it(
    client: TestClient, others: list[dict[str, str]]
) -> None:
    query = ask(client, IMAGE)["query_id"]
    asked = [*addresses(client, query)]
    assert len(asked) == 10
    for method, path in asked:
        for headers in others:
            answer = client.request(method, path, headers=headers)
            assert "has not shared it" in problem(answer, 404, "NotFound"), path
        nothing = client.request(method, path.replace(query, "0" * 16), headers=others[0])
        told = problem(answer, 404, "NotFound").replace(query, "0" * 16)
        assert problem(nothing, 404, "NotFound") == told  # nor does it tell that there is one
    for method, path in asked:
        assert client.request(method, path).is_success, path


def test_a_shared_query_is_everybody_s_who_may_read(
    client: TestClient, others: list[dict[str, str]]
) -> None:
    query = ask(client, IMAGE)["query_id"]
    assert client.post(f"/queries/{query}/share").status_code == 204
    assert client.post(f"/queries/{query}/share").status_code == 204  # twice is once
    for headers in others:
        for method, path in addresses(client, query):
            assert client.request(method, path, headers=headers).is_success, path
    del client.headers["Authorization"]
    problem(client.get(f"/queries/{query}/image"), 401, "Unauthorized")


def test_the_docs_show_nobody_another_key_s_query(
    client: TestClient, others: list[dict[str, str]]
) -> None:
    query = ask(client, IMAGE)["query_id"]
    assert query in client.get("/docs/openapi.json").text
    for headers in others:
        assert query not in client.get("/docs/openapi.json", headers=headers).text


def test_one_reader_s_many_queries_push_out_none_of_another_s(
    client: TestClient, others: list[dict[str, str]]
) -> None:
    query = ask(client, IMAGE)["query_id"]
    case = client.get("/cases").json()["cases"][0]["case_id"]
    for _ in range(5):
        assert client.get(f"/cases/{case}/similar", headers=others[0]).is_success
    images = [("image", IMAGE)] * 5
    assert client.post("/query/batch", files=images, headers=others[0]).is_success
    assert client.get(f"/queries/{query}/image").status_code == 200


def test_without_keys_all_queries_are_everybody_s(own_client: TestClient) -> None:
    query = ask(own_client, IMAGE)["query_id"]
    assert own_client.post(f"/queries/{query}/share").status_code == 204
    assert own_client.get(f"/queries/{query}/image").status_code == 200
