"""Measures how long `xemplar inspect` takes to say what lies in a large folder.

Makes a folder of small random JPEG files, with a table of labels, and inspects it in a process
of its own: ``python -m benchmarks.inspecting --images 100000``.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

SIDE = 128
FINDINGS = ("No Finding", "Effusion", "Mass|Nodule", "Pneumonia")


def write_images(root: Path, count: int) -> None:
    """Write random pictures as JPEG, a thousand in a folder, and ``labels.csv``."""
    generator = np.random.default_rng(0)
    rows = ["file,patient_id,view,sex,age,findings"]
    for number in range(count):
        folder = f"{number // 1000:03d}"
        if number % 1000 == 0:
            (root / folder).mkdir()
        grey = cv2.resize(generator.integers(0, 255, (16, 16), np.uint8), (SIDE, SIDE))
        file = f"{folder}/{number:06d}.jpg"
        (root / file).write_bytes(cv2.imencode(".jpg", grey)[1].tobytes())
        about = f"{number // 2},PA,{'FM'[number % 2]},{20 + number % 70},{FINDINGS[number % 4]}"
        rows.append(f"{file},{about}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")


def main() -> None:
    """Make the folder, inspect it, print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=500, help="images to decode")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        root = Path(folder) / "ward"
        root.mkdir()
        write_images(root, arguments.images)
        os.sync()
        command = [sys.executable, "-m", "xemplar", "inspect", str(root)]
        command += ["--pictures", str(arguments.pictures)]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = used.ru_utime + used.ru_stime
        print(
            f"{arguments.images:,} files, {arguments.pictures:,} decoded: {seconds:.1f} s, "
            f"{processor:.1f} s of a processor"
        )


if __name__ == "__main__":
    main()
