"""Errors: every one of the domain has its status, and none tells what is not the caller's."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import NoReturn

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.problems import STATUSES
from xemplar_app.settings import ServiceSettings

from tests.app.asking import problem
from tests.images import drawn_image, encoded
from xemplar import errors
from xemplar.retrieval.retriever import Retriever

PNG = encoded(drawn_image(1))


def kinds(base: type[errors.XemplarError]) -> Iterator[type[errors.XemplarError]]:
    """The classes of the tree that are raised: its leaves."""
    below = base.__subclasses__()
    if not below:
        yield base
    for kind in below:
        yield from kinds(kind)


def test_every_domain_error_has_a_status_but_those_of_the_client() -> None:
    assert set(kinds(errors.XemplarError)) - set(kinds(errors.ServiceError)) == set(STATUSES)


def test_what_the_caller_can_mend_is_4xx_and_what_the_operator_must_is_5xx() -> None:
    for kind, status in STATUSES.items():
        callers = issubclass(kind, errors.InputError | errors.NotFound)
        assert (status < HTTPStatus.INTERNAL_SERVER_ERROR) == callers


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
def test_a_domain_error_is_answered_as_a_problem(
    client: TestClient,
    retriever: Retriever,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: type[errors.XemplarError],
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise kind("/secret/place is broken")

    monkeypatch.setattr(retriever, "ask", fail)
    response = client.post("/query", files={"image": PNG})
    detail = problem(response, STATUSES[kind], kind.__name__)
    callers = STATUSES[kind] < HTTPStatus.INTERNAL_SERVER_ERROR
    assert ("/secret/place" in detail) == callers
    assert ("/secret/place" in caplog.text) != callers


def test_an_error_that_nobody_foresaw_is_a_problem_that_tells_nothing(
    settings: ServiceSettings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError("secret")

    app = create_app(settings, open_retriever(settings))
    with TestClient(app, raise_server_exceptions=False) as client:
        monkeypatch.setattr(Retriever, "ask", fail)
        response = client.post("/query", files={"image": PNG})
    assert "secret" not in problem(response, 500, "Internal")
