"""Images a second, and hours of the day."""

from datetime import datetime

import pytest
from xemplar_pacs.fetch.pace import Hours, RateLimit

from xemplar.errors import InvalidArgument


def test_images_begin_at_the_rate() -> None:
    now, waited = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    pace = RateLimit(4, lambda: now[0], sleep)
    for _ in range(3):
        pace.wait()
    now[0] += 60  # an idle minute saves up nothing
    for _ in range(3):
        pace.wait()
    assert waited == [0.25] * 4


def test_without_a_rate_nothing_waits() -> None:
    RateLimit(0, lambda: 0.0, lambda _: pytest.fail("it waits")).wait()


@pytest.mark.parametrize(
    ("hours", "now", "seconds"),
    [
        ("22:00-06:00", "23:30", 0),
        ("22:00-06:00", "05:59", 0),
        ("22:00-06:00", "06:00", 16 * 3600),
        ("22:00-06:00", "21:59", 60),
        ("12:00-14:00", "13:00", 0),
        ("12:00-14:00", "14:00", 22 * 3600),
        ("12:00-14:00", "11:00", 3600),
        ("", "11:00", 0),
    ],
)
def test_hours_may_pass_midnight(hours: str, now: str, seconds: int) -> None:
    at = datetime.fromisoformat(f"2026-03-04T{now}")
    assert Hours.parse(hours).seconds_until(at) == seconds


@pytest.mark.parametrize("text", ["22-6", "24:00-06:00", "22:00", "22:60-06:00", "night"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="as 22:00-06:00"):
        Hours.parse(text)
