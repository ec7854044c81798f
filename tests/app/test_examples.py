"""Examples of the document that /docs reads: what is read with them is answered."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.app.asking import Service, ask, bearer
from tests.images import drawn_image, encoded
from xemplar.api.examples import CASE_ID, QUERY_ID
from xemplar.operations.keys import Keys, Role

IMAGE = encoded(drawn_image(62, 300, 240))


def examples(
    document: dict[str, Any], method: str = "get"
) -> dict[str, tuple[str, dict[str, Any]]]:
    """(address, query) of each operation, as its examples have it."""
    found = {}
    for path, operations in document["paths"].items():
        if method in operations:
            operation, query = operations[method], {}
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
                elif parameter["required"]:
                    query[parameter["name"]] = parameter["example"]
            found[operation["operationId"]] = (path, query)
    return found


OF_STUDIES = ("next_reading", "reading_image", "reading_case_image", "readings_csv")
"""Operations that need a reader study, which is planned before."""


def statuses(client: TestClient, found: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, int]:
    return {
        name: client.get(path, params=query).status_code for name, (path, query) in found.items()
    }


def test_all_that_is_read_is_answered_once_a_query_was(own_client: TestClient) -> None:
    own_client.post("/jobs/reindex")
    ask(own_client, IMAGE)
    own_client.post("/collections", json={"name": "x"})
    found = examples(own_client.get("/docs/openapi.json").json())
    assert statuses(own_client, found) == {
        name: 404 if name in {*OF_STUDIES, "query_values"} else 200  # the image has 8 bits
        for name in found
    }


def test_cases_are_answered_before_there_was_a_query(own_client: TestClient) -> None:
    found = examples(own_client.get("/docs/openapi.json").json())
    told = statuses(own_client, found)
    of_cases = ("case", "case_image", "case_overlay", "similar", "case_ranking", "case_timeline")
    assert [told[name] for name in of_cases] == [200] * len(of_cases)
    assert told["query_image"] == 404  # there is none, and the description says where one is from


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_what_is_changed_has_examples_of_nothing(own_client: TestClient, method: str) -> None:
    ask(own_client, IMAGE)
    document = own_client.get("/docs/openapi.json").json()
    cases = {case["case_id"] for case in own_client.get("/cases").json()["cases"]}
    for path, _ in examples(document, method).values():
        assert not cases.intersection(path.split("/"))


def test_a_store_with_keys_shows_its_ids_to_nobody_without_one(
    service: Service, keys: Keys
) -> None:
    secret = keys.create("x", Role.READER)[1]
    client = service()
    hidden = client.get("/docs/openapi.json").json()
    assert examples(hidden)["case"][0] == f"/cases/{CASE_ID}"
    shown = client.get("/docs/openapi.json", headers=bearer(secret)).json()
    assert examples(shown)["case"][0] != f"/cases/{CASE_ID}"


def test_the_document_for_clients_is_the_same_for_every_store(own_client: TestClient) -> None:
    before = own_client.get("/openapi.json").json()
    ask(own_client, IMAGE)
    own_client.get("/docs/openapi.json")
    assert own_client.get("/openapi.json").json() == before
    text = own_client.get("/openapi.json").text
    assert CASE_ID in text
    assert QUERY_ID in text


def test_the_document_names_licence_and_server(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["info"]["license"] == {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    assert "contact" not in document["info"]
    assert document["servers"] == [{"url": "/"}]
