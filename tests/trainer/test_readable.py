"""Images that cannot be decoded are found before the training: few are left out, many refused."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from xemplar_trainer import readable
from xemplar_trainer.distributed import Distributed
from xemplar_trainer.readable import leave_out_unreadable

from tests.trainer.drawn import drawn_set
from xemplar.data.datasets import DatasetImage
from xemplar.errors import DatasetError


@pytest.fixture
def images(tmp_path: Path) -> list[DatasetImage]:
    """Twelve images: the fourth is cut short, the ninth is not there."""
    made = list(drawn_set(tmp_path / "set", train=10, val=2).images)
    whole = made[3].path.read_bytes()
    made[3].path.write_bytes(whole[: len(whole) // 2])
    made[8].path.unlink()
    return made


def test_few_are_left_out_by_name_and_number(
    images: list[DatasetImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readable, "TOLERATED", 6)
    console = Console(record=True, width=400, file=io.StringIO())
    kept = leave_out_unreadable(images, Distributed(), console)
    assert kept == [*images[:3], *images[4:8], *images[9:]]
    said = console.export_text()
    assert "left out" in said
    assert str(images[3].path) in said
    assert str(images[8].path) in said
    assert "left out 2 of 12 images: they cannot be decoded" in said


def test_many_are_refused_with_their_number(images: list[DatasetImage]) -> None:
    told = r"3\.png cannot be used: .*; the image .*8\.png cannot .* these are 2 of 12: repair them"
    with pytest.raises(DatasetError, match=told):
        leave_out_unreadable(images, Distributed(), Console(quiet=True))


def test_images_that_can_be_decoded_are_all_kept(images: list[DatasetImage]) -> None:
    good = [*images[:3], *images[4:8]]
    assert leave_out_unreadable(good, Distributed(), Console(quiet=True)) == good
