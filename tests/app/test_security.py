"""Who may ask: keys, roles, the open door on one's own machine, and limits."""

import time

import pytest
from xemplar_app.security import REFRESH_SECONDS

from tests.app.asking import Service, ask, bearer, problem
from tests.films import drawn_film, encoded
from xemplar.catalog.keys import Keys, Role
from xemplar.errors import ConfigurationError

FILM = encoded(drawn_film(80, 300, 200))


OPEN = ["/healthz", "/readyz", "/docs", "/openapi.json", "/"]
READERS = [f"/cases/{'0' * 16}", f"/cases/{'0' * 16}/image", f"/queries/{'0' * 16}/image"]
ADMINS = ["/audit", "/errors"]


def test_every_address_asks_for_a_key_but_those_that_tell_nothing(
    service: Service, keys: Keys
) -> None:
    keys.create("x", Role.READER)
    client = service()
    for path in OPEN:
        assert client.get(path).status_code == 200
    for path in READERS + ADMINS:
        response = client.get(path)
        assert "Authorization: Bearer" in problem(response, 401, "Unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    assert client.post("/query", files={"image": FILM}).status_code == 401


def test_every_documented_operation_says_whom_it_admits(service: Service) -> None:
    document = service().get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "api-key"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            open_to_all = path in ("/healthz", "/readyz")
            assert ("security" in operation) != open_to_all
            assert ("401" in operation["responses"]) != open_to_all


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_it_covers(service: Service, keys: Keys, role: Role) -> None:
    _, secret = keys.create("x", role)
    client = service()
    client.headers = bearer(secret)  # type: ignore[assignment]
    ask(client, FILM)
    for path in READERS:
        assert client.get(path).status_code == 404
    for path in ADMINS:
        response = client.get(path)
        if role == Role.ADMIN:
            assert response.status_code == 200
        else:
            detail = problem(response, 403, "Forbidden")
            assert f"needs a key of role admin; yours is {role}" in detail


def test_a_key_may_come_in_either_header(service: Service, keys: Keys) -> None:
    _, secret = keys.create("x", Role.READER)
    client = service()
    for headers in (bearer(secret), {"X-API-Key": secret}):
        assert client.get(READERS[0], headers=headers).status_code == 404
    for wrong in (bearer(secret + "x"), {"X-API-Key": "x"}, {"Authorization": f"Basic {secret}"}):
        assert client.get(READERS[0], headers=wrong).status_code == 401


def test_a_revoked_key_stops_within_two_seconds(service: Service, keys: Keys) -> None:
    key, secret = keys.create("x", Role.READER)
    client = service()
    assert client.get(READERS[0], headers=bearer(secret)).status_code == 404
    keys.revoke(key.id)
    time.sleep(REFRESH_SECONDS)
    assert REFRESH_SECONDS < 2
    assert client.get(READERS[0], headers=bearer(secret)).status_code == 401


def test_pictures_do_not_ask_the_database_for_keys(
    service: Service, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = keys.create("x", Role.READER)
    reads = []
    by_digest = Keys.by_digest
    monkeypatch.setattr(Keys, "by_digest", lambda self: reads.append(1) or by_digest(self))
    client = service()
    began = time.monotonic()
    for _ in range(20):
        client.get(READERS[1], headers=bearer(secret))
    assert len(reads) <= 1 + (time.monotonic() - began) / REFRESH_SECONDS


# ---- without keys ---------------------------------------------------------------------------


def test_without_keys_everything_is_allowed_on_ones_own_machine(service: Service) -> None:
    client = service()
    ask(client, FILM)
    assert client.get("/audit").status_code == 200


def test_without_keys_nothing_else_than_ones_own_machine_is_listened_to(
    service: Service, keys: Keys
) -> None:
    with pytest.raises(ConfigurationError, match="xemplar keys create NAME --role admin"):
        service(host="0.0.0.0")  # noqa: S104
    key, _ = keys.create("x", Role.ADMIN)
    service(host="0.0.0.0")  # noqa: S104
    keys.revoke(key.id)
    with pytest.raises(ConfigurationError, match="there is no API key"):
        service(host="0.0.0.0")  # noqa: S104


def test_a_setting_opens_it_where_only_the_port_is_published_on_loopback(service: Service) -> None:
    client = service(host="0.0.0.0", without_keys="anywhere")  # noqa: S104
    ask(client, FILM)


def test_the_door_does_not_open_again_when_the_last_key_is_revoked(
    service: Service, keys: Keys
) -> None:
    key, _ = keys.create("x", Role.ADMIN)
    keys.revoke(key.id)
    assert service().get("/audit").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "rebound.example:8000"},
    ],
)
def test_without_keys_a_web_page_from_elsewhere_is_kept_out(
    service: Service, headers: dict[str, str]
) -> None:
    client = service()
    response = client.post("/query", files={"image": FILM}, headers=headers)
    assert "xemplar keys create" in problem(response, 403, "Forbidden")
    assert client.get("/audit", headers=headers).status_code == 403


# ---- limits ---------------------------------------------------------------------------------


def test_too_many_requests_are_told_when_to_come_back(service: Service) -> None:
    client = service(requests_per_second=0.5, requests_at_once=3)
    assert [client.get(READERS[0]).status_code for _ in range(4)] == [404, 404, 404, 429]
    response = client.get(READERS[0])
    assert "0.5 requests a second" in problem(response, 429, "TooManyRequests")
    assert response.headers["retry-after"] in ("1", "2")
    assert client.get("/healthz").status_code == 200


def test_guessing_keys_is_slowed_down_and_right_keys_still_work(
    service: Service, keys: Keys
) -> None:
    _, secret = keys.create("x", Role.READER)
    client = service(wrong_keys_per_minute=1)
    tried = [client.get("/audit", headers=bearer(f"xk_{n}")).status_code for n in range(12)]
    assert tried == [401] * 10 + [429] * 2
    assert client.get(READERS[0], headers=bearer(secret)).status_code == 404
