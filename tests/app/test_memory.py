"""Memory of a large image goes back to the system; that of usual ones waits for the next."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from pathlib import Path
from threading import Thread
from xemplar_app.memory import LARGE, give_back_large_pieces

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def large_ones():
    before = resident()
    for _ in range(3):
        image = bytearray(b"x") * (3 * LARGE)
        del image
    print(resident() - before > LARGE)

def usual_ones():
    size = LARGE // 8
    before = faults()
    for _ in range(20):
        image = bytearray(b"x") * size
        del image
    print(faults() - before < 2 * size / resource.getpagesize())

if sys.argv[2] == "given back":
    give_back_large_pieces()
thread = Thread(target=globals()[sys.argv[1]])  # as each query is answered in one
thread.start()
thread.join()
"""

glibc_only = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it")


def run(images: str, how: str) -> str:
    """Runs one function of the program above, and returns what it prints."""
    command = [sys.executable, "-c", PROGRAM, images, how]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


@glibc_only
@pytest.mark.parametrize(("how", "kept"), [("as glibc does", True), ("given back", False)])
def test_a_large_piece_of_memory_is_kept_or_given_back(how: str, kept: bool) -> None:
    assert run("large_ones", how) == str(kept)


@glibc_only
@pytest.mark.parametrize(("how", "kept"), [("as glibc does", False), ("given back", True)])
def test_the_memory_of_a_usual_image_is_kept_for_the_next(how: str, kept: bool) -> None:
    assert run("usual_ones", how) == str(kept)


def test_what_a_service_loaded_is_left_out_of_garbage_collection() -> None:
    program = """
import gc
from xemplar_app.memory import freeze_loaded_objects
loaded = len(gc.get_objects())
freeze_loaded_objects()
print(gc.get_freeze_count() > loaded / 2 > len(gc.get_objects()))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "True"
