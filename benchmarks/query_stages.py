"""Two stages of a query against what they were, in turns, in one run.

- overlay: a table of blended pixels, against blending by OpenCV; processor time of a thread.
- network: streams for concurrent queries, against one request behind a lock (before decision 39);
  for 1 and 4 clients, each a thread that encodes one image after another.

    python -m benchmarks.query_stages
"""

import argparse
import os
import platform
import statistics
import threading
import time
from pathlib import Path

from xemplar.cli.environment import limit_threads

limit_threads(os.environ)  # as the service does

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from xemplar.imaging.overlay import OPACITY, heat_colours, overlay, shrink  # noqa: E402
from xemplar.imaging.preprocess import PreprocessSpec, onto_image  # noqa: E402
from xemplar.model.checkpoint import default_checkpoint, load  # noqa: E402
from xemplar.model.encoder import Encoder, Precision, open_encoder  # noqa: E402
from xemplar.phantom import phantom  # noqa: E402

OVERLAYS = 30


def blended_by_opencv(
    pixels: npt.NDArray[np.uint8], heatmap: npt.NDArray[np.float32], spec: PreprocessSpec
) -> npt.NDArray[np.uint8]:
    """`overlay` as it was before decision 60."""
    image = shrink(pixels, 512)
    positive = np.maximum(heatmap, 0)
    heat = onto_image((positive / positive.max()).astype(np.float32), spec, *image.shape)
    opacity = OPACITY * heat
    grey = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    blended = cv2.blendLinear(grey, heat_colours(heat), 1 - opacity, opacity)
    return np.asarray(blended, np.uint8)


def compare_overlays(side: int) -> None:
    """Print processor time of both, their ratio and their largest difference."""
    pixels, spec = phantom(1, size=side).pixels, PreprocessSpec()
    heatmap = np.random.default_rng(0).random((7, 7), np.float32)
    times: dict[str, list[float]] = {"before": [], "now": []}
    cv2.setNumThreads(1)
    overlay(pixels, heatmap, spec)  # the first one makes the table
    for _ in range(OVERLAYS):
        for name, draw in (("before", blended_by_opencv), ("now", overlay)):
            began = time.thread_time()
            draw(pixels, heatmap, spec)
            times[name].append(1000 * (time.thread_time() - began))
    cv2.setNumThreads(-1)
    before, now = (statistics.median(values) for values in times.values())
    differ = np.abs(
        blended_by_opencv(pixels, heatmap, spec).astype(int) - overlay(pixels, heatmap, spec)
    )
    print(f"overlay, {side} pixels: {before:.2f} ms before, {now:.2f} ms now, "
          f"{before / now:.1f} times; they differ by at most {differ.max()} levels")  # fmt: skip


def encoded(encoder: Encoder, clients: int, seconds: float) -> tuple[float, float]:
    """Images per second of so many clients, and milliseconds of a processor for each."""
    size = encoder.checkpoint.card.spec.size
    image = np.random.default_rng(0).integers(0, 255, (1, size, size), dtype=np.uint8)
    counts = [0] * clients

    def client(number: int) -> None:
        while time.monotonic() < ends:
            encoder.encode(image)
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    cpu, began = time.process_time(), time.monotonic()
    ends = began + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    images = sum(counts)
    return images / (time.monotonic() - began), 1000 * (time.process_time() - cpu) / images


def main() -> None:
    """Take turns, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--precision", type=Precision, default=Precision.AUTO)
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for side in (320, 1024):
        compare_overlays(side)
    checkpoint = load(asked.checkpoint)
    before, now = (
        open_encoder(checkpoint, precision=asked.precision, streams=streams)
        for streams in (1, asked.streams)
    )
    for clients in asked.clients:
        encoded(before, clients, 0.5), encoded(now, clients, 0.5)
        rounds = [
            (encoded(before, clients, asked.seconds), encoded(now, clients, asked.seconds))
            for _ in range(asked.rounds)
        ]
        for name, side in (("one request", 0), (f"{now.streams} streams", 1)):
            rate, cpu = (
                statistics.median(values)
                for values in zip(*(turn[side] for turn in rounds), strict=True)
            )
            print(f"network, {clients} clients, {name}: {rate:.1f} images/s, {cpu:.1f} ms of a "
                  "processor each")  # fmt: skip
        faster = statistics.median(new[0] / old[0] for old, new in rounds)
        cheaper = statistics.median(old[1] / new[1] for old, new in rounds)
        print(f"network, {clients} clients: {faster:.2f} times the images, {cheaper:.2f} times "
              "less processor")  # fmt: skip


if __name__ == "__main__":
    main()
