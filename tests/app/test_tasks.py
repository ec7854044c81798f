"""What runs in the background survives every error, and how it fares can be asked."""

import logging
from collections.abc import Awaitable, Callable

import anyio
import pytest
from xemplar_app.tasks import UNEXPECTED, Tasks

from xemplar.errors import Mismatch, ReadOnlyStorage, StorageFailed


def run(work: Callable[[], Awaitable[None]], runs: int, counted: list[object]) -> Tasks:
    """Repeat something until it ran so often."""
    tasks = Tasks()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(tasks.repeat, "sweeping", work, 0.0)
            while len(counted) < runs:
                await anyio.sleep(0)
            group.cancel_scope.cancel()

    anyio.run(main)
    return tasks


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("x"), UNEXPECTED),
        (OSError(5, "broken"), StorageFailed.reason),
        (RuntimeError("never seen"), UNEXPECTED),
        (MemoryError(), UNEXPECTED),
        (Mismatch("two"), "Mismatch"),
    ],
)
def test_any_error_is_logged_once_and_the_task_goes_on(
    error: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[object] = []

    async def work() -> None:
        ran.append(None)
        raise error

    tasks = run(work, 5, ran)
    assert [record.message.partition(":")[0] for record in caplog.records] == ["sweeping"]
    assert tasks.by_name["sweeping"].reason == reason


def test_a_success_is_told_after_a_failure_and_the_next_failure_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ran: list[object] = []

    async def work() -> None:
        ran.append(None)
        if len(ran) in (1, 2, 4):
            raise ReadOnlyStorage("/secret/place cannot be written")

    with caplog.at_level(logging.WARNING, "xemplar"):
        tasks = run(work, 6, ran)
    told = ["failed" if "failed" in r.message else "succeeds" for r in caplog.records]
    assert told == ["failed", "succeeds", "failed", "succeeds"]
    assert tasks.by_name["sweeping"].reason is None


def test_the_reason_names_no_path_and_the_age_grows_from_the_last_success() -> None:
    tasks = Tasks()
    tasks.succeeded("sweeping")
    before = tasks.by_name["sweeping"].age_seconds
    tasks.failed("sweeping", ReadOnlyStorage("/secret/place cannot be written"))
    assert tasks.by_name["sweeping"].reason == "the store or its database is read-only"
    assert tasks.by_name["sweeping"].age_seconds >= before
