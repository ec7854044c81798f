"""Before it is ready, while its database is away, and when it cannot be opened at all."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any, NoReturn

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine
from xemplar_app import opening
from xemplar_app.main import create_app
from xemplar_app.opening import warm_up
from xemplar_app.settings import ServiceSettings

from tests.agreement import PATIENCE, wait_until
from tests.app.asking import Service, ask, problem
from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.errors import DatabaseUnreachable, Mismatch
from xemplar.model.encoder import Precision
from xemplar.operations.keys import Keys
from xemplar.phantom import phantom
from xemplar.retrieval.retriever import Retriever
from xemplar.retrieval.snapshot import fit_validator

IMAGE = encoded(drawn_image(85, 300, 200))


def test_a_service_that_opens_lives_and_is_not_ready(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = Event()

    def slow(retriever: Retriever) -> None:
        go_on.wait(PATIENCE)
        warm_up(retriever)

    monkeypatch.setattr(opening, "warm_up", slow)
    with TestClient(create_app(settings)) as client:
        try:
            assert client.get("/healthz").status_code == 200
            assert "xemplar_ready 0.0" in client.get("/metrics").text
            asked = client.post("/query", files={"image": IMAGE})
            for response in (client.get("/readyz"), asked):
                assert "opens its files" in problem(response, 503, "NotReady")
                assert response.headers["retry-after"] == "2"
        finally:
            go_on.set()
        wait_until(lambda: client.get("/readyz").status_code == 200)
        ask(client, IMAGE)


def test_a_service_has_one_engine_for_its_database_and_closes_its_connections(
    own: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[Engine] = []

    def counted(*args: Any, **named: Any) -> Engine:
        engines.append(create_engine(*args, **named))
        return engines[-1]

    monkeypatch.setattr("xemplar.catalog.sqlite.create_engine", counted)
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    with TestClient(create_app(settings)) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert len(client.get("/cases").json()["cases"]) == CASES
        (engine,) = engines
    assert engine.pool.checkedin() == engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_the_validator_does_not_stand_in_the_way_of_the_warm_up(
    retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.stack([phantom(seed, size=64).pixels for seed in range(100)])
    guarded = replace(retriever.live, validator=fit_validator(images, retriever.encoder))
    monkeypatch.setattr(retriever, "live", guarded)
    warm_up(retriever)


def test_a_service_that_cannot_be_opened_tells_whoever_started_it(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise Mismatch("nothing fits")

    monkeypatch.setattr(opening, "open_retriever", fail)
    told: list[Exception] = []
    with TestClient(create_app(settings, on_failure=told.append)) as client:
        wait_until(lambda: bool(told))
        assert "its log tells why" in problem(client.get("/readyz"), 503, "NotReady")
    assert isinstance(told[0], Mismatch)


def test_a_database_that_goes_away_and_comes_back_needs_no_restart(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> NoReturn:
        raise DatabaseUnreachable("postgresql://secret-host is away")

    client = service()
    with monkeypatch.context() as away:
        away.setattr(Keys, "by_digest", gone)
        away.setattr("xemplar_app.security.REFRESH_SECONDS", 0.0)
        for response in (client.get("/readyz"), client.post("/query", files={"image": IMAGE})):
            detail = problem(response, 503, "DatabaseUnreachable")
            assert "secret-host" not in detail
            assert response.headers["retry-after"] == "2"
        assert client.get("/healthz").status_code == 200
    wait_until(lambda: client.get("/readyz").status_code == 200)
    ask(client, IMAGE)


def test_a_query_that_no_processor_is_free_for_is_told_to_come_back(
    service: Service, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = service(concurrent_queries=1, wait_seconds=0.05)
    entered, go_on = Event(), Event()
    encode = retriever.encoder.encode

    def stuck(inputs: Any) -> Any:
        entered.set()
        go_on.wait(PATIENCE)
        return encode(inputs)

    monkeypatch.setattr(retriever.encoder, "encode", stuck)
    with ThreadPoolExecutor(1) as threads:
        try:
            first = threads.submit(ask, client, IMAGE)
            assert entered.wait(PATIENCE)
            second = client.post("/query", files={"image": IMAGE})
            assert "within 0.05 s" in problem(second, 503, "Busy")
        finally:
            go_on.set()
        assert first.result(PATIENCE)["neighbours"]
