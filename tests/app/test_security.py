"""Who may ask: keys, roles, the open door on one's own machine, and limits."""

import socket
import time
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text, update
from xemplar_app import main, security
from xemplar_app.main import create_app
from xemplar_app.security import REFRESH_SECONDS
from xemplar_app.settings import ServiceSettings, read_settings
from xemplar_app.shared_rate import SharedRate

from tests.agreement import wait_until
from tests.app.asking import Service, ask, bearer, problem
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from xemplar.archive.store import Store
from xemplar.catalog.schema import connect, writing
from xemplar.catalog.tables import KeyRow
from xemplar.errors import ConfigurationError, ReadOnlyStorage
from xemplar.operations.keys import Keys, Role

IMAGE = encoded(drawn_image(80, 300, 200))


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
    assert client.post("/query", files={"image": IMAGE}).status_code == 401


def test_every_documented_operation_says_whom_it_admits(service: Service) -> None:
    document = service().get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "api-key"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            open_to_all = path in ("/healthz", "/readyz")
            assert ("security" in operation) != open_to_all
            assert ("401" in operation["responses"]) != open_to_all


@pytest.mark.parametrize("role", [role for role in Role if role.covers(Role.READER)])
def test_a_role_may_do_what_it_covers(service: Service, keys: Keys, role: Role) -> None:
    _, secret = keys.create("x", role)
    client = service()
    client.headers = bearer(secret)  # type: ignore[assignment]
    ask(client, IMAGE)
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
    began = time.monotonic()
    client = service()
    for _ in range(20):
        client.get(READERS[1], headers=bearer(secret))
    assert len(reads) <= 1 + (time.monotonic() - began) / REFRESH_SECONDS


# ---- keys that end, and when they were used -------------------------------------------------


def test_an_expired_key_is_told_so_and_nobody_else_is(
    service: Service, keys: Keys, own: SmallStore
) -> None:
    key, secret = keys.create("x", Role.READER, expires_at=datetime.now(UTC) + timedelta(days=1))
    engine = connect(own.store.database_url)
    with writing(engine) as connection:
        connection.execute(update(KeyRow).values(expires_at=datetime(2026, 1, 2, tzinfo=UTC)))
    client = service()
    refused = client.get("/me", headers=bearer(secret))
    assert "expired on 2026-01-02 at 00:00 UTC" in problem(refused, 401, "KeyExpired")
    assert refused.headers["www-authenticate"] == "Bearer"
    for wrong in (bearer(key.id), bearer(secret + "x"), {}):
        assert "expired" not in problem(client.get("/me", headers=wrong), 401, "Unauthorized")
    with writing(engine) as connection:
        connection.execute(update(KeyRow).values(revoked_at=datetime(2026, 1, 1, tzinfo=UTC)))
    engine.dispose()
    revoked = service().get("/me", headers=bearer(secret))
    assert "unknown or revoked" in problem(revoked, 401, "Unauthorized")


def test_the_last_use_of_a_key_is_noted(
    service: Service, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "USES_SECONDS", 0.05)
    (used, secret), _ = (keys.create(name, Role.READER) for name in ("used", "unused"))
    service().get("/me", headers=bearer(secret))

    def uses() -> dict[str, datetime | None]:
        return {key.name: key.last_used_at for key in keys.list()}

    wait_until(lambda: uses()["used"] is not None)
    assert uses()["unused"] is None
    assert uses()["used"] >= used.created_at


def test_a_service_that_stops_writes_the_last_uses(
    own: SmallStore, settings: ServiceSettings, keys: Keys
) -> None:
    _, secret = keys.create("x", Role.READER)
    changes = {"store": own.store.root, "checkpoint": own.checkpoint}
    with TestClient(create_app(settings.model_copy(update=changes))) as client:
        wait_until(lambda: client.get("/me", headers=bearer(secret)).status_code == 200)
    assert keys.list()[0].last_used_at is not None


def test_a_store_that_takes_no_changes_answers_and_notes_the_use_later(
    service: Service, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = keys.create("x", Role.READER)
    note_uses, full = Keys.note_uses, [True]

    def noted(self: Keys, uses: dict[str, datetime]) -> None:
        if full and uses:
            raise ReadOnlyStorage("the file is read-only")
        note_uses(self, uses)

    monkeypatch.setattr(Keys, "note_uses", noted)
    monkeypatch.setattr(main, "USES_SECONDS", 0.05)
    client = service()

    def failing() -> str | None:
        assert client.get("/me", headers=bearer(secret)).status_code == 200
        reason: str | None = client.get("/readyz").json()["tasks"]["uses of keys"]["failing"]
        return reason

    wait_until(lambda: failing() == ReadOnlyStorage.reason)
    full.clear()
    wait_until(lambda: keys.list()[0].last_used_at is not None)
    wait_until(lambda: failing() is None)


# ---- without keys ---------------------------------------------------------------------------


def test_without_keys_everything_is_allowed_on_ones_own_machine(service: Service) -> None:
    client = service()
    ask(client, IMAGE)
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
    ask(client, IMAGE)


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
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://testserver:3000"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
)
def test_without_keys_a_web_page_from_elsewhere_is_kept_out(
    service: Service, headers: dict[str, str]
) -> None:
    client = service()
    response = client.post("/query", files={"image": IMAGE}, headers=headers)
    assert "xemplar keys create" in problem(response, 403, "Forbidden")
    assert client.get("/audit", headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["rebound.example:8000", "127.0.0.1.rebound.example", "", "a b"])
@pytest.mark.parametrize("changes", [{}, {"host": "0.0.0.0", "without_keys": "anywhere"}])  # noqa: S104
def test_without_keys_another_name_than_this_machines_is_not_answered(
    service: Service, host: str, changes: dict[str, object]
) -> None:
    client = service(**changes)
    headers = {"Host": host}
    detail = problem(client.get("/audit", headers=headers), 421, "Misdirected")
    assert "XEMPLAR_HOSTS" in detail
    assert client.delete(READERS[0], headers=headers).status_code == 421
    assert client.post("/query", files={"image": IMAGE}, headers=headers).status_code == 421
    assert client.get("/healthz", headers=headers).status_code == 200
    if not changes:  # the metrics need no key there
        assert client.get("/metrics", headers=headers).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:80", "XRAY.example:1", "b"])
def test_without_keys_names_of_this_machine_and_those_in_the_settings_are_answered(
    service: Service, host: str
) -> None:
    client = service(hosts=" xray.example, b,")
    assert client.get("/audit", headers={"Host": host}).status_code == 200


def test_without_keys_this_machine_is_answered_by_its_own_name(service: Service) -> None:
    headers = {"Host": f"{socket.gethostname()}:8000"}
    assert service().get("/audit", headers=headers).status_code == 200


def test_with_keys_the_name_is_checked_where_the_settings_name_some(
    service: Service, keys: Keys
) -> None:
    _, secret = keys.create("x", Role.ADMIN)
    headers = bearer(secret) | {"Host": "proxied.example"}
    assert service().get("/audit", headers=headers).status_code == 200
    problem(service(hosts="xray.example").get("/audit", headers=headers), 421, "Misdirected")
    assert service(hosts="proxied.example").get("/audit", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "name", ["https://xray.example", "xray.example:80", "xray.example/x", "a b"]
)
def test_what_is_no_name_is_refused_as_a_setting(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XEMPLAR_HOSTS", f"good.example,{name}")
    with pytest.raises(ConfigurationError, match="without scheme, port and path"):
        read_settings()


OWN = [
    {"Origin": "http://testserver"},
    {"Origin": "https://testserver"},  # of a proxy that adds TLS
    {"Origin": "https://testserver:8443", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://viewer.example", "Sec-Fetch-Site": "cross-site"},  # listed
    {},
]
FOREIGN = [
    {"Origin": "https://elsewhere.example"},
    {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "http://testserver:3000"},
    {"Origin": "http://testserver.elsewhere.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://[broken"},
]


@pytest.mark.parametrize("with_key", [True, False])
def test_what_is_changed_comes_from_no_page_but_the_own_and_listed_ones(
    service: Service, keys: Keys, with_key: bool
) -> None:
    _, secret = keys.create("x", Role.ADMIN) if with_key else (None, "")
    client = service(cors_origins="https://viewer.example, ,")
    key = bearer(secret) if with_key else {}
    for headers in OWN:
        assert client.delete(READERS[0], headers=key | headers).status_code == 404, headers
        assert client.get("/audit", headers=key | headers).status_code == 200, headers
    for headers in FOREIGN:
        answer = client.delete(READERS[0], headers=key | headers)
        assert "XEMPLAR_CORS_ORIGINS" in problem(answer, 403, "Forbidden"), headers
        read = client.get("/audit", headers=key | headers)
        assert read.status_code == (200 if with_key else 403), headers


# ---- keys that were lost ----------------------------------------------------------------------


def emptied(store: SmallStore) -> None:
    """Delete all keys, as another database would lack them."""
    engine = create_engine(store.store.database_url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM api_keys"))
    engine.dispose()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys are read at each request."""
    monkeypatch.setattr(security, "REFRESH_SECONDS", 0.0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("changes", [{}, {"host": "0.0.0.0", "without_keys": "anywhere"}])  # noqa: S104
def test_the_door_does_not_open_when_the_keys_are_lost(
    service: Service,
    keys: Keys,
    own: SmallStore,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, object],
) -> None:
    _, secret = keys.create("x", Role.ADMIN)
    client = service(**changes)
    assert client.get("/audit", headers=bearer(secret)).status_code == 200
    assert client.get("/readyz").json()["keys_lost"] is None
    emptied(own)
    for headers in ({}, bearer(secret)):
        answer = client.get("/audit", headers=headers)
        assert "xemplar keys create NAME --role admin" in problem(answer, 401, "Unauthorized")
    assert "set the right database" in client.get("/readyz").json()["keys_lost"]
    assert caplog.text.count("every request is refused with 401") == 1
    # nor for the next process
    assert service(**changes).get("/audit").status_code == 401
    _, new = keys.create("first again", Role.ADMIN)
    assert client.get("/audit", headers=bearer(new)).status_code == 200
    assert client.get("/readyz").json()["keys_lost"] is None


@pytest.mark.usefixtures("at_once")
def test_where_others_reach_it_a_service_without_keys_is_closed(
    service: Service, keys: Keys, own: SmallStore, settings: ServiceSettings
) -> None:
    """Also where the store could not be told of them."""
    keys.create("x", Role.ADMIN)
    client = service(host="0.0.0.0")  # noqa: S104
    emptied(own)
    Store(settings.store).had_keys.unlink()
    assert client.get("/audit").status_code == 401


def test_a_store_that_cannot_be_written_is_no_reason_to_open(
    service: Service, keys: Keys, own: SmallStore, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Store) -> None:
        raise ReadOnlyStorage("the store can only be read")

    monkeypatch.setattr(Store, "remember_keys", fail)
    keys.create("x", Role.READER)
    client = service()
    assert client.get("/audit").status_code == 401
    emptied(own)
    assert client.get("/audit").status_code == 401


# ---- limits ---------------------------------------------------------------------------------


def test_too_many_requests_are_told_when_to_come_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SharedRate.__init__, "__defaults__", (lambda: 0.0,))  # no time passes
    client = service(requests_per_second=0.5, requests_at_once=3)
    assert [client.get(READERS[0]).status_code for _ in range(4)] == [404, 404, 404, 429]
    response = client.get(READERS[0])
    assert "0.5 requests a second" in problem(response, 429, "TooManyRequests")
    assert response.headers["retry-after"] == "2"
    assert client.get("/healthz").status_code == 200


def test_guessing_keys_is_slowed_down_and_right_keys_still_work(
    service: Service, keys: Keys
) -> None:
    _, secret = keys.create("x", Role.READER)
    client = service(wrong_keys_per_minute=1)
    tried = [client.get("/audit", headers=bearer(f"xk_{n}")).status_code for n in range(12)]
    assert tried == [401] * 10 + [429] * 2
    assert client.get(READERS[0], headers=bearer(secret)).status_code == 404
