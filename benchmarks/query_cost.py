"""Processor time of a query's stages in the thread that answers it, without the network's threads.

On a busy machine milliseconds of the wall say nothing of what lies beside the network; these do, as
a stage's least and median over many queries. Each image is asked once before: its forward pass is
remembered, so that ``encode`` is what follows it (embedding, validation). Decoding is in this
process.

    xemplar index images --store xemplar-store
    python -m benchmarks.query_cost --store xemplar-store --images images
"""

import argparse
import os
import statistics
import time
from contextlib import closing
from pathlib import Path
from unittest import mock

from xemplar.cli.environment import limit_threads

limit_threads(os.environ)  # as the service does

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
from xemplar_app.wire import answer_out  # noqa: E402

from xemplar.api.search import Search  # noqa: E402
from xemplar.archive.store import Store  # noqa: E402
from xemplar.data.datasets import open_dataset  # noqa: E402
from xemplar.imaging.burnt_in_text import text_boxes  # noqa: E402
from xemplar.model.checkpoint import Checkpoint, default_checkpoint  # noqa: E402
from xemplar.model.encoder import Encoder, open_encoder  # noqa: E402
from xemplar.retrieval import render  # noqa: E402
from xemplar.retrieval.result import Stopwatch  # noqa: E402
from xemplar.retrieval.retriever import Retriever  # noqa: E402


class Remembering:
    """A backend that runs the network once for each image."""

    streams = 1

    def __init__(self, encoder: Encoder) -> None:
        self._network = encoder._backend
        self._known: dict[bytes, npt.NDArray[np.float32]] = {}

    def maps(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return rectified maps; see `xemplar.model.encoder.Backend`."""
        key = inputs.tobytes()
        if key not in self._known:
            self._known[key] = self._network.maps(inputs)
        return self._known[key].copy()


def remembering(checkpoint: Checkpoint) -> Encoder:
    """Make an encoder that runs the network once for each image."""
    return Encoder(checkpoint, Remembering(open_encoder(checkpoint)))


def cost(retriever: Retriever, image: bytes) -> dict[str, float]:
    """Answer a query with six overlays as the service does; milliseconds by stage."""
    answer = retriever.ask(image, Search())
    watch = Stopwatch()
    text_boxes(answer.image)  # the service does so in a thread beside the network
    watch.stage("text")
    pictures = render.overlays(retriever.live, retriever.media, answer)
    watch.stage("render")
    answer_out(answer, pictures=pictures).model_dump_json().encode()
    watch.stage("json")
    return {**answer.timings_ms, **watch.timings_ms}


def main() -> None:
    """Ask for each image in turn, and print each stage's least and median processor time."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="data set or folder to ask with")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    cv2.setNumThreads(1)  # other threads' time would be missing
    files = open_dataset(asked.images).images[: asked.limit]
    images = [file.path.read_bytes() for file in files]
    store = Store(asked.store)
    with (
        closing(Retriever.open(asked.checkpoint, store, opener=remembering)) as retriever,
        mock.patch("time.perf_counter", time.thread_time),  # the clock of every stage
    ):
        for image in images:
            cost(retriever, image)
        costs = [cost(retriever, image) for _ in range(asked.rounds) for image in images]
    sums = [sum(one.values()) for one in costs]
    for name in costs[0]:
        times = [one[name] for one in costs]
        print(f"{name:12} least {min(times):6.2f} ms   median {statistics.median(times):6.2f} ms")
    print(f"{'all':12} least {min(sums):6.2f} ms   median {statistics.median(sums):6.2f} ms")


if __name__ == "__main__":
    main()
