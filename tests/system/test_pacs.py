"""The node and a real archive: the whole way, and `tests/system/pacs_kills.py` in short."""

from pathlib import Path

import pytest

from tests.system.orthanc import NoOrthanc, Orthanc
from tests.system.pacs import modalities_of, pacs, round_trip, studies
from tests.system.pacs_kills import faults_of, kill_node

pytestmark = pytest.mark.system


def test_an_image_goes_to_the_archive_and_its_results_come_back_into_its_study(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    try:
        with pacs(tmp_path, tiny_checkpoint) as (orthanc, node):
            first, second = studies(2)
            for one in (first, second):
                round_trip(orthanc, one, tmp_path)
            assert modalities_of(orthanc, first.uid) == ["DX", "OT", "SR"]
            assert len(orthanc.rest("/instances")) == 6
            assert len(orthanc.rest("/patients")) == 2
            assert "PATIENT-" not in node.said
            assert node.stop() == 0
    except NoOrthanc as reason:
        pytest.skip(str(reason))


@pytest.mark.long
def test_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    try:
        outcome = kill_node(tmp_path, count=8, kills=2, away=1)
    except NoOrthanc as reason:
        pytest.skip(str(reason))
    assert outcome.faults == []
    assert outcome.kills == 2


def test_what_is_lost_is_found(tmp_path: Path) -> None:
    try:
        orthanc = Orthanc(tmp_path)
    except NoOrthanc as reason:
        pytest.skip(str(reason))
    with orthanc:
        (study,) = studies(1)
        assert faults_of(orthanc, [study]) == [
            f"OT of study {study.uid} is lost",
            f"SR of study {study.uid} is lost",
        ]
