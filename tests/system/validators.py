"""Validators of DICOM objects by others: ``python -m tests.system.validators``.

dciodvfy (David Clunie's dicom3tools) checks every object against its IOD; PixelMed's
DicomSRValidator, which IHE's AIR profile names, checks reports against their templates and takes
half a minute for each. The script makes the results of every variant and gives them to both.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from tests.pacs.conftest import open_retriever
from tests.pacs.variants import VARIANTS
from tests.stores import small_store
from tests.system.common import save_tiny_checkpoint

PIXELMED = Path("/usr/share/java/pixelmed.jar")
LIMITS = ("xpathTotalOpLimit", "xpathExprGrpLimit", "xpathExprOpLimit")
"""Limits of Java 17 that PixelMed's style sheets exceed."""

SECONDS = 300


class NoValidator(Exception):
    """A validator is not installed; the message says how to install it."""


def iod_errors(file: Path) -> list[str]:
    """Check a file with dciodvfy; return its errors.

    Raises:
        NoValidator: it is not installed.
    """
    if shutil.which("dciodvfy") is None:
        raise NoValidator("no dciodvfy here: apt-get install dicom3tools")
    return _errors(["dciodvfy", str(file)], "Error")


def template_errors(file: Path) -> list[str]:
    """Check a report with PixelMed's DicomSRValidator; return its errors.

    Raises:
        NoValidator: it is not installed.
    """
    if shutil.which("java") is None or not PIXELMED.is_file():
        raise NoValidator("no PixelMed here: apt-get install libpixelmed-java default-jre-headless")
    options = [f"-Djdk.xml.{limit}=0" for limit in LIMITS]
    program = ["-cp", str(PIXELMED), "com.pixelmed.validate.DicomSRValidator", str(file)]
    return _errors(["java", *options, *program], "Error", "IOD validation complete")


def _errors(command: list[str], mark: str, end: str = "") -> list[str]:
    """Run a validator; return its errors, and a line more where it did not get to its end."""
    run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    said = (run.stdout + run.stderr).splitlines()
    found = [line for line in said if line.startswith(mark) or "Exception" in line]
    if not said or (end and end not in said):
        found.append(f"{command[0]} did not get to its end: {said[-1:]}")
    return found


def checked(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Make the results of every variant; yield each with what both validators find wrong."""
    small = small_store(folder, save_tiny_checkpoint(folder / "tiny.safetensors"))
    retriever = open_retriever(small)
    try:
        for name, make in VARIANTS.items():
            for one in make(retriever).results():
                file = folder / one.file_name
                file.write_bytes(one.data)
                is_report = one.kind == "structured report"
                errors = iod_errors(file) + (template_errors(file) if is_report else [])
                yield f"{one.kind}: {name}", errors
    finally:
        retriever.close()


def main() -> None:
    """Check all results; exit with an error where a validator finds one."""
    console, failed = Console(), 0
    with TemporaryDirectory() as folder:
        for name, errors in checked(Path(folder)):
            console.print(f"{'ok' if not errors else 'FAILED':7}{name}", highlight=False)
            for error in errors:
                console.print(f"       {error}", markup=False, highlight=False)
            failed += bool(errors)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
