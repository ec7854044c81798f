"""Memory of a large image goes back to the system."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from pathlib import Path
from xemplar_app.memory import LARGE, give_back_large_pieces

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

if sys.argv[1] == "given back":
    give_back_large_pieces()
before = resident()
for _ in range(3):
    image = bytearray(b"x") * (3 * LARGE)
    del image
print(resident() - before > LARGE)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it")
@pytest.mark.parametrize(("how", "kept"), [("as glibc does", True), ("given back", False)])
def test_a_large_piece_of_memory_is_kept_or_given_back(how: str, kept: bool) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, check=True)
    assert run.stdout.decode().strip() == str(kept)
