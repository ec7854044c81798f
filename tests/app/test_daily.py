"""Cases of a day: a key that is shown too many is told of, and stopped where that is wanted."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, Gauge
from xemplar_app.daily import DailyCases
from xemplar_app.problems import Refusal

from tests.agreement import wait_until
from tests.app.asking import Service, ask, bearer, problem
from tests.images import drawn_image, encoded
from xemplar.operations.keys import Key, Keys, Role

IMAGE = encoded(drawn_image(83, 300, 200))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Made = Callable[..., tuple[DailyCases, Callable[[], float]]]


@pytest.fixture
def clock() -> list[datetime]:
    """The time, to be moved."""
    return [NOON]


@pytest.fixture
def made(clock: list[datetime]) -> Made:
    """Counts, and how many keys are above the alarm."""

    def make(alarm: int = 0, ceiling: int = 0) -> tuple[DailyCases, Callable[[], float]]:
        registry = CollectorRegistry()
        gauge = Gauge("over", "x", registry=registry)
        daily = DailyCases(alarm, ceiling, gauge, lambda: clock[0])
        return daily, lambda: registry.get_sample_value("over") or 0.0

    return make


@pytest.fixture
def alarms(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Warnings so far."""

    def told() -> list[str]:
        found = [one for one in caplog.records if one.name == "xemplar.audit"]
        return [one.getMessage() for one in found if one.levelno == logging.WARNING]

    return told


def test_more_cases_than_the_alarm_are_told_once_a_day(
    made: Made, clock: list[datetime], alarms: Callable[[], list[str]]
) -> None:
    daily, over = made(alarm=3)
    daily.note("k1", ["a", "b", "c", "a"])
    daily.note("k1", ["a", "b"])
    daily.note("k2", ["d"])
    assert (alarms(), over()) == ([], 0)
    daily.note("k1", ["d"])
    daily.note("k1", ["e", "f"])
    assert over() == 1
    assert [("k1" in one, "(3)" in one) for one in alarms()] == [(True, True)]
    clock[0] += timedelta(days=1)
    assert over() == 0
    daily.note("k1", ["a", "b", "c"])
    assert len(alarms()) == 1
    daily.note("k1", ["d"])
    assert len(alarms()) == 2


def test_a_key_at_the_ceiling_waits_until_midnight(made: Made, clock: list[datetime]) -> None:
    daily, _ = made(ceiling=2)
    daily.note("k1", ["a"])
    daily.check("k1")
    daily.note("k1", ["b", "c"])
    with pytest.raises(Refusal) as raised:
        daily.check("k1")
    assert raised.value.status == 429
    assert raised.value.headers == {"retry-after": str(12 * 60 * 60)}
    daily.check("k2")
    clock[0] += timedelta(hours=12)
    daily.check("k1")


def test_without_alarm_and_ceiling_nothing_is_counted(
    made: Made, alarms: Callable[[], list[str]]
) -> None:
    daily, over = made()
    daily.note("k1", [str(number) for number in range(5000)])
    daily.check("k1")
    assert (alarms(), over()) == ([], 0)


@pytest.fixture
def reader(keys: Keys) -> tuple[Key, str]:
    return keys.create("ward", Role.READER)


def cases_of(client: TestClient) -> list[str]:
    return [one["case_id"] for one in client.get("/cases").json()["cases"]]


def test_lists_pictures_and_answers_count_each_case_once(
    service: Service, reader: tuple[Key, str], alarms: Callable[[], list[str]]
) -> None:
    client = service(cases_per_day_alarm=4, open_metrics=True)
    client.headers = bearer(reader[1])  # type: ignore[assignment]
    near = [one["case_id"] for one in ask(client, IMAGE, k=4)["neighbours"]]
    for case in near:
        client.get(f"/cases/{case}/image")
    assert alarms() == []
    cases_of(client)
    cases_of(client)
    (told,) = alarms()
    assert reader[0].id in told
    assert "xemplar_keys_over_alarm 1.0" in client.get("/metrics").text


def test_at_the_ceiling_no_case_is_shown_and_all_else_is_answered(
    service: Service, reader: tuple[Key, str], keys: Keys, alarms: Callable[[], list[str]]
) -> None:
    _, other = keys.create("other", Role.READER)
    client = service(cases_per_day=5, cases_per_day_alarm=0)
    client.headers = bearer(reader[1])  # type: ignore[assignment]
    (first, *_) = cases_of(client)
    for _ in range(2):
        answer = client.get(f"/cases/{first}")
        detail = problem(answer, 429, "TooManyCases")
        assert "XEMPLAR_CASES_PER_DAY" in detail
        assert 0 < int(answer.headers["retry-after"]) <= 24 * 60 * 60
    problem(client.post("/query", files={"image": IMAGE}), 429, "TooManyCases")
    assert client.get("/me").status_code == client.get("/findings").status_code == 200
    assert client.get(f"/cases/{first}", headers=bearer(other)).status_code == 200
    assert len(alarms()) == 1


def test_a_restart_forgets_no_case_and_tells_nothing_twice(
    service: Service, reader: tuple[Key, str], alarms: Callable[[], list[str]]
) -> None:
    client = service(cases_per_day_alarm=3)
    client.headers = bearer(reader[1])  # type: ignore[assignment]
    cases_of(client)
    assert len(alarms()) == 1
    client.__exit__(None, None, None)
    again = service(cases_per_day_alarm=3, cases_per_day=5, open_metrics=True)
    again.headers = bearer(reader[1])  # type: ignore[assignment]
    wait_until(lambda: again.get("/cases?limit=1").status_code == 429)
    wait_until(lambda: "xemplar_keys_over_alarm 1.0" in again.get("/metrics").text)
    assert [one for one in alarms() if "XEMPLAR_CASES_PER_DAY_ALARM" in one] == alarms()[:1]


def test_services_of_one_database_count_together(
    service: Service,
    reader: tuple[Key, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xemplar_app.main.CATCH_UP_SECONDS", 0.05)
    one, other = service(), service(cases_per_day=5)
    one.headers = other.headers = bearer(reader[1])  # type: ignore[assignment]
    assert other.get("/cases?limit=1").status_code == 200
    cases_of(one)
    wait_until(lambda: other.get("/cases?limit=1").status_code == 429)
