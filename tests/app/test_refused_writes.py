"""Full and read-only disks, and true answers: `tests/system/refused_writes.py` in short."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.disk import NoDisk
from tests.system.refused_writes import full_disk, read_only


@pytest.mark.system
@pytest.mark.parametrize("trial", [full_disk, pytest.param(read_only, marks=pytest.mark.long)])
def test_every_answer_is_true_while_nothing_can_be_written(
    tmp_path: Path, trial: Callable[..., list[str]]
) -> None:
    try:
        assert trial(tmp_path, run_commands=False) == []
    except NoDisk as reason:
        pytest.skip(str(reason))
