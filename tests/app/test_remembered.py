"""A query is remembered over a restart, and by every service of a PostgreSQL database."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256

import pytest
from fastapi.testclient import TestClient
from xemplar_app import remembered
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.agreement import wait_until
from tests.app.asking import ask, bearer, jpeg_size, problem
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from tests.system.postgres import Postgres
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog.copying import copy_catalog
from xemplar.catalog.schema import connect
from xemplar.errors import DatabaseUnreachable
from xemplar.imaging import DISPLAY_SIDE
from xemplar.imaging.overlay import jpeg, shrink
from xemplar.model.encoder import Precision
from xemplar.operations.keys import Role, open_keys
from xemplar.operations.queries import Queries

IMAGE = encoded(drawn_image(65, 300, 240))

Restarted = Callable[..., TestClient]


@pytest.fixture
def restarted(own: SmallStore) -> Iterator[Restarted]:
    """Starts a service on the store; the one before has stopped, or another database is named."""
    with ExitStack() as running:

        def start(**changes: object) -> TestClient:
            if not changes.get("database_url"):
                running.pop_all().close()
            settings = ServiceSettings(
                store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
            ).model_copy(update=changes)
            client = TestClient(create_app(settings, open_retriever(settings)))
            return running.enter_context(client)

        yield start


@pytest.fixture
def database(postgres: Postgres, own: SmallStore) -> Iterator[str]:
    """PostgreSQL with the store's catalog."""
    url = postgres.create("remembered")
    copy_catalog(own.store.database_url, url)
    yield url
    postgres.drop(url)


def addresses(query: str, case: str) -> dict[str, str]:
    """All that is drawn or computed from a query and a case."""
    return {
        "image": f"/queries/{query}/image",
        "overlay": f"/queries/{query}/overlay",
        "evidence": f"/queries/{query}/evidence/{case}",
        "case's evidence": f"/cases/{case}/evidence/{query}",
        "places": f"/queries/{query}/matches/{case}",
    }


def content(client: TestClient, path: str) -> bytes:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return bytes(response.content)


# ---- SQLite ---------------------------------------------------------------------------------


def test_after_a_restart_a_query_is_explained_and_repeated_without_its_image(
    restarted: Restarted,
) -> None:
    client = restarted()
    answer = ask(client, IMAGE, k=3)
    query, case = answer["query_id"], answer["neighbours"][0]["case_id"]
    before = {what: content(client, path) for what, path in addresses(query, case).items()}
    client = restarted()
    for what, path in addresses(query, case).items():
        if what in ("image", "overlay", "evidence"):
            told = problem(client.get(path), 404, "NotFound")
            assert "in the memory of a service that has stopped; send the image again" in told
        else:
            assert content(client, path) == before[what]
    again = client.get(f"/queries/{query}/similar?k=3").json()
    assert again["neighbours"] == answer["neighbours"]
    assert client.get(f"/queries/{query}/ranking?rater=ann").status_code == 200


def test_after_a_restart_the_query_of_an_archived_image_has_its_pictures(
    restarted: Restarted, own: SmallStore
) -> None:
    client = restarted()
    answer = ask(client, own.images[3], k=3)
    paths = addresses(answer["query_id"], answer["neighbours"][1]["case_id"])
    before = {what: content(client, path) for what, path in paths.items()}
    client = restarted()
    after = {what: content(client, path) for what, path in paths.items()}
    stored = Media(own.store.media).display(sha256(own.images[3]).hexdigest())
    assert after["image"] == jpeg(shrink(stored, DISPLAY_SIDE))
    for what in ("overlay", "evidence"):
        assert jpeg_size(after[what]) == jpeg_size(before[what])
    for what in ("case's evidence", "places"):
        assert after[what] == before[what]


def test_a_query_remains_its_key_s_and_shared_or_not_over_a_restart(
    restarted: Restarted, own: SmallStore
) -> None:
    with open_keys(own.store.database_url) as keys:
        ann, bob = (bearer(keys.create(name, Role.READER)[1]) for name in ("ann", "bob"))
    client = restarted()
    asked = [
        client.post("/query", files={"image": IMAGE}, headers=ann).json()["query_id"]
        for _ in range(2)
    ]
    assert client.post(f"/queries/{asked[1]}/share", headers=ann).status_code == 204
    client = restarted()
    paths = [f"/queries/{query}/similar" for query in asked]
    assert [client.get(path, headers=ann).status_code for path in paths] == [200, 200]
    assert [client.get(path, headers=bob).status_code for path in paths] == [404, 200]


def test_no_pixel_of_a_query_is_in_the_store(restarted: Restarted, own: SmallStore) -> None:
    client = restarted()
    ask(client, IMAGE)
    restarted()
    row = drawn_image(65, 300, 240)[120, 60:120].tobytes()  # of the image, which is not rescaled
    assert len(set(row)) > 10
    for file in own.store.root.rglob("*"):
        assert not file.is_file() or row not in file.read_bytes(), file.name


def test_with_0_hours_nothing_of_a_query_is_kept(restarted: Restarted, own: SmallStore) -> None:
    client = restarted(query_hours=0.0)
    query = ask(client, IMAGE)["query_id"]
    assert client.get(f"/queries/{query}/image").status_code == 200
    client = restarted()
    told = problem(client.get(f"/queries/{query}/similar"), 404, "NotFound")
    assert "send the image again" in told


def test_a_database_that_takes_no_queries_is_told_and_they_are_written_later(
    restarted: Restarted, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Queries.put
    monkeypatch.setattr(remembered, "MAINTAIN_SECONDS", 0.01)
    client = restarted()

    def refuse(*_: object) -> None:
        raise DatabaseUnreachable("gone")

    def failing() -> object:
        return client.get("/readyz").json()["tasks"]["queries"]["failing"]

    monkeypatch.setattr(Queries, "put", refuse)
    query = ask(client, IMAGE)["query_id"]
    wait_until(lambda: failing() is not None)
    assert client.get(f"/queries/{query}/image").status_code == 200
    monkeypatch.setattr(Queries, "put", put)
    wait_until(lambda: failing() is None)
    assert restarted().get(f"/queries/{query}/similar").status_code == 200


# ---- PostgreSQL -----------------------------------------------------------------------------


def test_what_one_service_answered_another_explains_with_its_image(
    restarted: Restarted, database: str
) -> None:
    here, there = restarted(database_url=database), restarted(database_url=database)
    answer = ask(here, IMAGE, k=3)
    paths = addresses(answer["query_id"], answer["neighbours"][0]["case_id"])
    for path in paths.values():
        assert content(there, path) == content(here, path)
    again = there.get(f"/queries/{answer['query_id']}/similar?k=3&include=overlays").json()
    assert again["neighbours"][0]["case_id"] == answer["neighbours"][0]["case_id"]
    assert again["overlay"].startswith("data:image/jpeg")


def test_what_one_service_shared_is_shared_in_the_other(
    restarted: Restarted, database: str
) -> None:
    with open_keys(database) as keys:
        ann, bob = (bearer(keys.create(name, Role.READER)[1]) for name in ("ann", "bob"))
    here, there = restarted(database_url=database), restarted(database_url=database)
    query = here.post("/query", files={"image": IMAGE}, headers=ann).json()["query_id"]
    path = f"/queries/{query}/image"
    for client in (here, there):
        assert client.get(path, headers=bob).status_code == 404
        assert client.get(path, headers=ann).status_code == 200
    assert there.post(f"/queries/{query}/share", headers=ann).status_code == 204
    for client in (here, there):
        assert client.get(path, headers=bob).status_code == 200


def test_what_postgresql_holds_of_a_query_is_sealed(restarted: Restarted, database: str) -> None:
    query = ask(restarted(database_url=database), IMAGE)["query_id"]
    engine = connect(database)
    row = Queries(engine).find(query, None)
    engine.dispose()
    assert row is not None
    for text in (b"explained", b"maps", drawn_image(65, 300, 240)[120, 60:120].tobytes()):
        assert text not in row.content


def test_services_whose_stores_have_different_keys_do_not_read_each_other_s_queries(
    restarted: Restarted, database: str, own: SmallStore, caplog: pytest.LogCaptureFixture
) -> None:
    query = ask(restarted(database_url=database), IMAGE)["query_id"]
    own.store.pseudonym_key.unlink()
    Store(own.store.root).pseudonym("a", "patient")
    there = restarted(database_url=database)
    assert "send the image again" in problem(there.get(f"/queries/{query}/image"), 404, "NotFound")
    assert "need the same key file in their stores" in caplog.text


def test_a_rate_holds_over_both_services(restarted: Restarted, database: str) -> None:
    limits = {"requests_per_second": 0.001, "requests_at_once": 6, "database_url": database}
    here, there = restarted(**limits), restarted(**limits)
    statuses = [client.get("/findings").status_code for client in (here, there) * 6]
    assert statuses.count(200) == 6
    assert statuses[6:] == [429] * 6


def test_wrong_keys_are_counted_over_both_services(restarted: Restarted, database: str) -> None:
    with open_keys(database) as keys:
        keys.create("ann", Role.READER)
    limits = {"wrong_keys_per_minute": 0.001, "database_url": database}
    here, there = restarted(**limits), restarted(**limits)
    wrong = {"X-API-Key": "wrong"}
    tried = [client.get("/me", headers=wrong).status_code for client in (here, there) * 6]
    assert tried == [401] * 10 + [429] * 2


def test_a_standby_answers_and_explains_what_it_answered(
    restarted: Restarted, own: SmallStore
) -> None:
    with Postgres() as server:  # of this test's own, as it changes its state
        database = server.create("xemplar")
        copy_catalog(own.store.database_url, database)
        client = restarted(database_url=database)
        old = ask(client, IMAGE)["query_id"]
        server.stand_by()
        wait_until(lambda: client.post("/query", files={"image": IMAGE}).status_code == 200)
        new = ask(client, IMAGE)["query_id"]
        for query in (old, new):
            assert client.get(f"/queries/{query}/overlay").status_code == 200
        assert client.get(f"/queries/{'0' * 16}/overlay").status_code == 503
