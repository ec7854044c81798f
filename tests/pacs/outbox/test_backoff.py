"""Waits double up to a ceiling, with chance, and in monotonic time."""

import pytest
from xemplar_pacs.outbox.backoff import Backoff


class Time:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def test_is_due_before_any_failure(time: Time) -> None:
    assert Backoff(300, now=time).seconds == 0


def test_doubles_up_to_the_ceiling(time: Time) -> None:
    wait, waits = Backoff(10, first=1, now=time, chance=lambda: 0.0), []
    for _ in range(6):
        wait.failed()
        waits.append(wait.seconds)
    assert waits == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.999])
def test_takes_off_up_to_a_half(time: Time, chance: float) -> None:
    wait = Backoff(8, first=8, now=time, chance=lambda: chance)
    wait.failed()
    assert wait.seconds == pytest.approx(8 * (1 - chance / 2))


def test_passes_with_time(time: Time) -> None:
    wait = Backoff(8, first=8, now=time, chance=lambda: 0.0)
    wait.failed()
    time.now += 7
    assert wait.seconds == 1
    time.now += 2
    assert wait.seconds == 0


def test_begins_anew_after_a_success(time: Time) -> None:
    wait = Backoff(300, first=1, now=time, chance=lambda: 0.0)
    for _ in range(5):
        wait.failed()
    wait.reset()
    assert wait.seconds == 0
    wait.failed()
    assert wait.seconds == 1


def test_fails_for_years_without_an_overflow(time: Time) -> None:
    wait = Backoff(300, now=time, chance=lambda: 0.0)
    for _ in range(5000):
        wait.failed()
    assert wait.seconds == 300
