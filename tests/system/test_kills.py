"""Kills the worker and the service once each, as `tests.system.kills` does many times.

tests/trainer/test_run.py kills a training; tests/indexer/test_worker.py a worker, in short.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.killing.outcome import KillOutcome
from tests.system.killing.service import kill_service
from tests.system.killing.worker import kill_workers

pytestmark = pytest.mark.system


@pytest.mark.parametrize("kill", [kill_service, pytest.param(kill_workers, marks=pytest.mark.long)])
def test_nothing_is_lost_and_nothing_is_wrong(
    kill: Callable[..., KillOutcome], tmp_path: Path
) -> None:
    told: list[int] = []
    outcome = kill(tmp_path, 1, 1, told.append, images=12)
    assert outcome.faults == []
    assert outcome.kills == told[-1] == 1
    assert outcome.checked.total() >= 3
