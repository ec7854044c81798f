"""Runs a few kills of each program with `tests.system.kills`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.system.killing.outcome import KillOutcome
from tests.system.killing.service import kill_service
from tests.system.killing.training import kill_training
from tests.system.killing.worker import kill_workers

pytestmark = pytest.mark.system

ROUNDS = [
    (partial(kill_workers, images=12), 2),
    (partial(kill_service, images=12), 2),
    (partial(kill_training, epochs=3), 1),  # see also tests/trainer/test_run.py
]


@pytest.mark.parametrize(("kill", "kills"), ROUNDS, ids=["worker", "service", "training"])
def test_nothing_is_lost_and_nothing_is_wrong(
    kill: Callable[..., KillOutcome], kills: int, tmp_path: Path
) -> None:
    told: list[int] = []
    outcome = kill(tmp_path, kills, 1, told.append)
    assert outcome.faults == []
    assert outcome.kills == told[-1] == kills
    assert outcome.checked.total() >= 3
