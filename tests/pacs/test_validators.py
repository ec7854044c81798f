"""No validator finds an error in any result: `tests/system/validators.py` in short."""

from pathlib import Path

import pytest

from tests.pacs.variants import VARIANTS
from tests.system.validators import NoValidator, iod_errors, template_errors
from xemplar.retrieval.retriever import Retriever

pytestmark = pytest.mark.system


@pytest.mark.parametrize("name", VARIANTS)
def test_every_result_conforms_to_its_iod(retriever: Retriever, tmp_path: Path, name: str) -> None:
    for one in VARIANTS[name](retriever).results():
        file = tmp_path / one.file_name
        file.write_bytes(one.data)
        try:
            assert iod_errors(file) == []
        except NoValidator as reason:
            pytest.skip(str(reason))


@pytest.mark.long  # PixelMed takes half a minute
def test_a_report_conforms_to_its_template(retriever: Retriever, tmp_path: Path) -> None:
    report = VARIANTS["calibrated"](retriever).results()[1]
    file = tmp_path / report.file_name
    file.write_bytes(report.data)
    try:
        assert template_errors(file) == []
    except NoValidator as reason:
        pytest.skip(str(reason))


def test_a_validator_finds_what_is_wrong(retriever: Retriever, tmp_path: Path) -> None:
    (capture, _) = VARIANTS["DX"](retriever).results()
    file = tmp_path / capture.file_name
    file.write_bytes(capture.data.replace(b"RGB ", b"RGBA"))
    try:
        assert iod_errors(file)
    except NoValidator as reason:
        pytest.skip(str(reason))
