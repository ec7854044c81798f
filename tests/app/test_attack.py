"""A service under attack answers its readers: `tests/system/attack.py` in short."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.hostile_archives import ARCHIVES
from tests.stores import SmallStore
from tests.system.archives import Attempt, archive_faults, restore_all
from tests.system.attack import ATTACKS, PHASES, Attack, Phase, faults, is_loopback
from tests.system.common import Service


@pytest.mark.system
@pytest.mark.parametrize(
    "names", [("bombs", "flood"), pytest.param(PHASES, marks=pytest.mark.long)], ids=["two", "all"]
)
def test_no_attack_keeps_readers_out(
    small: SmallStore, tmp_path: Path, names: tuple[str, ...]
) -> None:
    service = Service(small.store, small.checkpoint, tmp_path / "log")
    try:
        service.wait_until_ready()
        attack = Attack(service.url, "", service.pid)
        phases = [attack.run(name, seconds=1, clients=2) for name in names]
    finally:
        service.stop()
    assert faults(phases) == []
    assert all(phase.attacks for phase in phases if phase.name in ATTACKS)


def test_refused_readers_are_a_fault() -> None:
    answered, refused = (200, 0.1), (503, 0.1)
    phase = Phase("batches", queries=[answered] * 19 + [refused])
    assert faults([phase]) == []
    phase.queries.append(refused)
    assert faults([phase]) == ["batches: 2 of 21 readers' queries were refused"]


def test_hostile_archives_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    attempts = restore_all(tmp_path)
    assert {one.name for one in attempts} == set(ARCHIVES)
    # how long it takes depends on the machine: the check itself judges that
    assert archive_faults([replace(one, seconds=0.0) for one in attempts]) == []


def test_an_archive_that_is_restored_or_leaves_something_is_a_fault() -> None:
    taken, leaving = Attempt("x", "", 0.1, ()), Attempt("y", "CorruptArtefact", 0.1, ("outside",))
    slow = Attempt("z", "CorruptArtefact", 60.0, ())
    assert archive_faults([taken, leaving, slow]) == [
        "archive, x: it was restored",
        "archive, y: it left outside",
        "archive, z: refused after 60.0 s",
    ]


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("http://localhost", True),
        ("http://localhost.example", False),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1@example", False),
        ("example", False),
    ],
)
def test_no_service_of_others_is_attacked(url: str, is_ours: bool) -> None:
    assert is_loopback(url) == is_ours
