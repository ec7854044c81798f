"""Clients query, cases come and go, generations change: `tests/system/load.py` in short."""

from hashlib import sha256
from pathlib import Path

import pytest
from rich.progress import Progress

from tests.agreement import PATIENCE
from tests.stores import SmallStore
from tests.system.load import faults, load
from tests.system.served import Site, serving

pytestmark = pytest.mark.system


def test_no_request_fails_and_no_answer_is_wrong_while_generations_change(
    own: SmallStore, tmp_path: Path
) -> None:
    images = {sha256(image).hexdigest()[:16]: image for image in own.images}
    site = Site(own.store, own.checkpoint, images)
    with serving(site, tmp_path) as url, Progress(disable=True) as progress:
        recorder, swaps = load(site, url, seconds=3, swaps=2, clients=4, progress=progress)
    # 2 s are promised, and `python -m tests.system.load` holds them on a machine of its own; here
    # other tests run beside it
    assert faults(recorder, swaps, switch_seconds=PATIENCE, searchable_seconds=PATIENCE) == []
    assert [swap.way for swap in swaps] == ["forward", "back"]
    assert len(recorder.searchable) > 0
    assert {"query", "similar", "upload"} <= {sample.kind for sample in recorder.samples}
