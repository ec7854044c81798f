"""The table of roles and operations, made from the OpenAPI document: who is let in where."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.app.asking import Service, bearer, problem
from xemplar.operations.keys import Keys, Role

OPEN = {"healthz", "readyz", "metrics"}  # metrics on a loopback address
WRITERS = {"put_case", "change_case", "remove_case"}
PARTICIPANTS = {"me", "reader_studies", "next_reading", "put_reading"}
PARTICIPANTS |= {"reading_image", "reading_case_image"}
ADMINS = {
    *("reindex", "jobs", "job", "cancel_job", "index_generations", "publish_generation"),
    *("keys", "create_key", "revoke_key", "audit", "errors", "ratings_csv"),
    *("raters", "give_rater", "readings_csv", "give_collections"),
}


@pytest.fixture
def secrets(keys: Keys) -> dict[str, str]:
    return {role: keys.create(role, role)[1] for role in Role}


def operations(client: TestClient) -> Iterator[tuple[str, str, str]]:
    """(id, method, path) of each; what stands in a path is the id of nothing."""
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            filled = path
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    filled = filled.replace(f"{{{parameter['name']}}}", "0" * 16)
            yield operation["operationId"], method, filled


def needed(operation: str) -> Role | None:
    if operation in OPEN:
        return None
    if operation in ADMINS:
        return Role.ADMIN
    if operation in PARTICIPANTS:
        return Role.PARTICIPANT
    return Role.WRITER if operation in WRITERS else Role.READER


def test_each_operation_lets_in_whom_it_should(service: Service, secrets: dict[str, str]) -> None:
    client = service(wrong_keys_per_minute=0)
    callers = {"nobody": {}, "wrong": bearer("xk_wrong"), **{r: bearer(secrets[r]) for r in Role}}
    seen = set()
    for operation, method, path in operations(client):
        seen.add(operation)
        role = needed(operation)
        for caller, headers in callers.items():
            # refused by its type, where it is let in, before anything is done
            body = {"content": b"[" * 1000, "headers": headers | {"Content-Type": "text/plain"}}
            answer = client.request(method, path, **body)
            who = f"{caller}: {method} {path}"
            if role is None:
                assert answer.status_code == 200, who
            elif caller in ("nobody", "wrong"):
                problem(answer, 401, "Unauthorized")
            elif not Role(caller).covers(role):
                problem(answer, 403, "Forbidden")
            else:
                assert answer.status_code not in (401, 403), who
    assert seen >= OPEN | PARTICIPANTS | WRITERS | ADMINS
