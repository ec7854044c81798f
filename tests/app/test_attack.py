"""A service under attack answers its readers: `checks/attack.py` in short."""

from pathlib import Path

import pytest

from checks.attack import PHASES, Attack, faults, is_loopback
from checks.common import Service
from tests.stores import SmallStore


@pytest.mark.system
def test_no_attack_keeps_readers_out(small: SmallStore, tmp_path: Path) -> None:
    service = Service(small.store, small.checkpoint, tmp_path / "log")
    try:
        service.wait_until_ready()
        attack = Attack(service.url, "", service.pid)
        # not yet true of batches: one of as many films as there are places keeps other films out
        names = [name for name in PHASES if name != "batches"]
        phases = [attack.run(name, seconds=2, clients=2) for name in names]
    finally:
        service.stop()
    assert faults(phases) == []
    assert all(phase.attacks for phase in phases if phase.name not in ("quiet", "stalls"))


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
