"""The notebook runs, cell after cell, on an archive."""

import json
import subprocess
import sys
from pathlib import Path

from tests.stores import CASES, SmallStore

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "archive.ipynb"


def test_the_notebook_runs(own: SmallStore) -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    opened = f'xemplar.open("{own.store.root}", checkpoint="{own.checkpoint}")'
    assert 'xemplar.open("archive")' in code
    code = code.replace('xemplar.open("archive")', opened)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert f"{CASES} cases, checkpoint" in ran.stdout
    assert "the nearest case shares a finding" in ran.stdout


def test_the_notebook_is_kept_without_results() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not cell.get("outputs") for cell in cells)
