"""GDCM is loaded only in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.images import compressed, dicom
from tests.xemplar.imaging.samples import (
    IMAGE,
    LOSSLESS,
)
from xemplar.imaging import decode


def run(code: str, *arguments: object, cwd: Path) -> None:
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True, cwd=cwd)


DECODE = """
import sys; from pathlib import Path; from xemplar.imaging import decode
image = decode(Path(sys.argv[1]).read_bytes())
"""


@pytest.fixture(params=["RLE", "JPEG lossless (selection value 1)"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "image.dcm"
    path.write_bytes(compressed(dicom(IMAGE), LOSSLESS[request.param]))
    return path


def test_gdcm_is_not_loaded_into_the_process_that_decodes(image: Path) -> None:
    code = DECODE + "assert 'gdcm' not in sys.modules and '_gdcm' not in sys.modules"
    run(code, image, cwd=image.parent)


def test_a_program_that_decodes_may_use_gdcm_itself_and_pydicom_with_it(image: Path) -> None:
    code = DECODE + "import gdcm, pydicom; assert gdcm.ImageReader()\n"
    code += "assert (pydicom.dcmread(sys.argv[1]).pixel_array == image.pixels).all()"
    run(code, image, cwd=image.parent)


def test_a_program_that_has_loaded_pydicom_before_is_left_alone(image: Path) -> None:
    run(
        "import pydicom" + DECODE + "import gdcm; assert gdcm.ImageReader()",
        image,
        cwd=image.parent,
    )


@pytest.mark.parametrize("module", ["gdcm", "json", "numpy"])
def test_a_module_that_lies_in_the_working_directory_is_not_run(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / f"{module}.py").write_text(f"open({str(ran)!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lossless = LOSSLESS["JPEG lossless (selection value 1)"]
    np.testing.assert_array_equal(decode(compressed(dicom(IMAGE), lossless)).pixels, IMAGE)
    assert not ran.exists()
