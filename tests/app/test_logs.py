"""Logs: one line a request with what an operator needs, and nothing of what was asked."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from xemplar_app.logs import configure_logs

from tests.app.asking import ask
from tests.images import drawn_image, encoded

IMAGE = encoded(drawn_image(83, 300, 200))


@pytest.fixture
def as_before() -> Iterator[None]:
    """Undo what `configure_logs` does to the whole process; the test client tells nothing."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("", "alembic", "uvicorn.error")]
    before = [(one.handlers[:], one.level, one.filters[:]) for one in loggers]
    yield
    for one, (handlers, level, filters) in zip(loggers, before, strict=True):
        one.handlers[:], one.filters[:] = handlers, filters
        one.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("as_before")
def test_each_request_is_one_line_of_json(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("json")
    response = client.get(f"/cases/{'0' * 16}?finding=Jane", headers={"X-Request-ID": "mine.1"})
    (line,) = (line for line in lines(capsys) if line["event"] == "request")
    assert line.pop("ms") > 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "xemplar.requests",
        "request_id": response.headers["x-request-id"],
        "callers_id": "mine.1",
        "method": "GET",
        "route": "/cases/{case_id}",
        "status": 404,
        "key": None,
    }


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("form", ["json", "text"])
def test_no_line_has_what_somebody_wrote(
    client: TestClient, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    configure_logs(form)
    client.post("/query?finding=SECRET", files={"image": ("SECRET.png", IMAGE)})
    client.post("/query?SECRET=1", files={"SECRET": ("SECRET.png", IMAGE)})
    client.get("/SECRET?SECRET", headers={"X-API-Key": "SECRET", "User-Agent": "SECRET"})
    client.get("/cases/SECRET", headers={"X-Request-ID": "SECRET with spaces"})
    said = capsys.readouterr().err
    assert said.count("request_id") >= 4
    assert "SECRET" not in said


@pytest.mark.usefixtures("as_before")
def test_an_error_that_nobody_foresaw_is_told_with_the_id_of_its_request(
    client: TestClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logs("json")
    from xemplar_app.recent import RecentQueries

    def fail(*_: object) -> None:
        images = b"SECRET"
        raise ZeroDivisionError(len(images))

    monkeypatch.setattr(RecentQueries, "recall", fail)
    with pytest.raises(ZeroDivisionError):
        client.get(f"/queries/{'0' * 16}/image", headers={"X-Request-ID": "broken"})
    told = {line["event"]: line for line in lines(capsys)}
    assert "ZeroDivisionError" in told["unexpected error"]["exception"]
    assert told["unexpected error"]["callers_id"] == "broken"
    assert told["unexpected error"]["request_id"] == told["request"]["request_id"]
    assert told["request"]["status"] == 500


@pytest.mark.usefixtures("as_before")
def test_auto_is_json_where_nobody_reads_along(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("auto")
    client.get("/cases")
    assert lines(capsys)


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("brought", ["", "x" * 65, "a b", "a/b", "ü", "a\tb"])
def test_an_id_of_a_callers_that_is_not_sane_stands_nowhere(
    client: TestClient, capsys: pytest.CaptureFixture[str], brought: str
) -> None:
    configure_logs("json")
    client.get("/cases", headers={b"X-Request-ID": brought.encode()})
    (line,) = lines(capsys)
    assert "callers_id" not in line


@pytest.mark.parametrize("brought", ["mine-1", "0" * 32])
def test_no_caller_chooses_the_id_of_a_request(client: TestClient, brought: str) -> None:
    """Else an entry of the audit trail could be made to look like another request's."""
    given = [client.get("/healthz", headers={"X-Request-ID": brought}) for _ in range(2)]
    ids = {one.headers["x-request-id"] for one in given}
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert len(ids - {brought}) == 2


@pytest.mark.usefixtures("as_before")
def test_a_query_leaves_one_line(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    ask(client, IMAGE)
    assert [line["route"] for line in lines(capsys) if line["event"] == "request"] == ["/query"]


@pytest.mark.usefixtures("as_before")
def test_probes_leave_no_line(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    for probe in ("/healthz", "/readyz", "/metrics"):
        client.get(probe)
    assert lines(capsys) == []
