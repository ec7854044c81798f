"""The command line: one command for all programs, and quick until it is told what to do."""

import subprocess
import sys

HEAVY = ("cv2", "faiss", "openvino", "torch", "sqlalchemy", "fastapi", "quantus", "matplotlib")


def test_listing_the_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys; from xemplar.__main__ import command_line; command_line();"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
