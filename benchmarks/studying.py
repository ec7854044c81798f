"""A study with training and every evaluation, of a small part of a data set; killed, if asked for.

Takes some patients of each split, copies their images with a table, and runs
`xemplar study --train` with settings that a machine without a GPU finishes in minutes. With
``--kill``, the study is killed in the middle of each step and started again.

    python -m benchmarks.studying --images nih14 --out small-study --kill
"""

import argparse
import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from xemplar.model.checkpoint import default_checkpoint

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}

CHOICES = """schema = 1

[data]
folders = [{folder}]
sources = ["part"]
patients = ["part"]

[train]
run = true
options = ["--epochs", "2", "--size", "{side}", "--batch-size", "16", "--projection", "64"]

[index]
checkpoint = {checkpoint}

[evaluate]
options = ["--quantus-samples", "2", "--lipschitz-samples", "2", "--randomisation-samples", "2", \
"--masking-pairs", "2", "--perturbations", "20", "--flipping-steps", "4"]
"""

BEGUN = {
    "train": "training/state.safetensors",
    "index": "archive/catalog.sqlite",
    "evaluate": "evaluation/.part*/*",
}
"""Step -> files that are there when it is in the middle."""


def write_part(images: Path, part: Path, count: int) -> None:
    """Write a folder with ``labels.csv`` and some images of each split."""
    with (images / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [row for split, share in SHARES.items() for row in _first(rows, split, count * share)]
    (part / "images").mkdir(parents=True, exist_ok=True)
    for row in chosen:
        shutil.copyfile(images / row["file"], part / row["file"])
    with (part / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(chosen)


def _first(rows: Sequence[dict[str, str]], split: str, count: float) -> list[dict[str, str]]:
    return [row for row in rows if row["split"] == split][: round(count)]


def run(words: Sequence[str], out: Path, kill_in: Iterator[str]) -> float:
    """Run the study until it has finished; return the seconds of a processor."""
    began = _processor()
    while True:
        step = next(kill_in, None)
        study = subprocess.Popen([sys.executable, "-m", "xemplar", *words], start_new_session=True)
        while study.poll() is None:
            if step is not None and any(out.glob(BEGUN[step])):
                time.sleep(1)
                os.killpg(study.pid, signal.SIGKILL)
                print(f"killed in {step}", flush=True)
                break
            time.sleep(0.2)
        if step is None or study.wait() != -signal.SIGKILL:
            if study.wait():
                raise SystemExit(f"the study ended with status {study.returncode}")
            return _processor() - began


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Make the part, study it, print what the steps took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="data set with labels.csv")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument("--films", type=int, default=300)
    parser.add_argument("--side", type=int, default=128, help="of the network's input, pixels")
    parser.add_argument("--kill", action="store_true", help="in the middle of each step")
    arguments = parser.parse_args()
    part, out = arguments.out.absolute() / "part", arguments.out.absolute() / "study"
    write_part(arguments.images, part, arguments.films)
    choices = arguments.out / "study.toml"
    choices.write_text(
        CHOICES.format(
            folder=json.dumps(str(part)),
            checkpoint=json.dumps(str(default_checkpoint())),
            side=arguments.side,
        )
    )
    words = ("study", "--config", str(choices), "--out", str(out))
    spent = run(words, out, iter(BEGUN if arguments.kill else ()))
    for name, step in json.loads((out / "study.json").read_text())["steps"].items():
        print(f"{name}: {step['seconds']:,.0f} s")
    print(f"{arguments.films:,} films, {arguments.side} px: {spent:,.0f} s of a processor")


if __name__ == "__main__":
    main()
