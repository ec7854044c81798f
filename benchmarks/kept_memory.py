"""Page faults and processor time of a search for burnt-in text, by what happens to freed memory.

"given back": as the service did before decision 62; "kept": as it does now. Each in a process of
its own, in a thread as queries are, in turns.

    python -m benchmarks.kept_memory --images images
"""

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import cv2
from xemplar_app.memory import LARGE, give_back_large_pieces

from xemplar.data.datasets import open_dataset
from xemplar.imaging import decode
from xemplar.imaging.burnt_in_text import text_boxes

MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of <malloc.h>."""

SETTINGS = {
    "given back": lambda: ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LARGE),
    "kept": give_back_large_pieces,
}


def measure(how: str, paths: list[Path], rounds: int) -> None:
    """Print page faults and milliseconds of a search, medians over images."""
    SETTINGS[how]()
    cv2.setNumThreads(1)
    images = [decode(path.read_bytes()).pixels for path in paths]
    faults, times = list[float](), list[float]()

    def search() -> None:
        for image in images:
            text_boxes(image)
            before, took = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, list[float]()
            for _ in range(rounds):
                began = time.thread_time()
                text_boxes(image)
                took.append(1000 * (time.thread_time() - began))
            after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            faults.append((after - before) / rounds)
            times.append(min(took))

    thread = Thread(target=search)
    thread.start()
    thread.join()
    print(json.dumps([statistics.median(faults), statistics.median(times)]))


def main() -> None:
    """Take turns, and print the medians of all turns."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="data set or folder to search")
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=SETTINGS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        files = open_dataset(asked.images).images[: asked.limit]
        measure(asked.only, [file.path for file in files], asked.rounds)
        return
    found: dict[str, list[list[float]]] = {how: [] for how in SETTINGS}
    for _ in range(asked.turns):
        for how, turns in found.items():
            command = [sys.executable, "-m", "benchmarks.kept_memory", *sys.argv[1:], "--only", how]
            turns.append(
                json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            )
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {asked.turns} turns")
    for how, turns in found.items():
        faults, times = (statistics.median(values) for values in zip(*turns, strict=True))
        print(f"{how:10} {faults:6.1f} page faults, {times:5.2f} ms of a processor")


if __name__ == "__main__":
    main()
