"""Throughput of the index job as a share of the encoder's own, in one run.

The encoder alone embeds ready inputs in batches of 16, with all threads; the job, set up as in
``xemplar index``, reads, decodes, preprocesses, writes pictures, embeds, explains and writes to the
catalog. They take turns, as the speed of a shared machine drifts. `ratio` is the job's images per
second over the mean of the encoder's before and after it.

Where all processors are busy, the job can be no faster than its processor time allows, so the time
of both for each image is printed too. `bound` is the encoder's over the job's: a ratio above it is
the streams' gain.

    python -m benchmarks.indexing --images images --limit 320
    python -m benchmarks.indexing --images images --limit 160 --coding jpeg2000

``--coding jpeg2000`` repacks the images as lossless JPEG 2000 in DICOM first. ``--streams 1``
encodes one batch at a time.
"""

import argparse
import io
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from xemplar.cli.environment import limit_threads

limit_threads(os.environ)  # as the command does

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from pydicom.uid import JPEG2000Lossless  # noqa: E402

from benchmarks.serving import cpu_seconds  # noqa: E402
from tests.images import encapsulated  # noqa: E402
from xemplar.archive.store import Store  # noqa: E402
from xemplar.catalog import migrate, open_catalog  # noqa: E402
from xemplar.data.datasets import DatasetImage, open_dataset  # noqa: E402
from xemplar.imaging import Limits, decode  # noqa: E402
from xemplar.imaging.decoder_pool import decoder  # noqa: E402
from xemplar.indexing.job import STREAMS, embed_images  # noqa: E402
from xemplar.model.checkpoint import default_checkpoint, load  # noqa: E402
from xemplar.model.encoder import BATCH, Encoder, Precision, open_encoder  # noqa: E402


@dataclass(frozen=True)
class Speed:
    """Images per second, and processor time for each in milliseconds."""

    rate: float
    cpu_ms: float

    @classmethod
    def of(cls, images: int, seconds: float, cpu: float) -> "Speed":
        """Speed of so many images."""
        return cls(images / seconds, 1000 * cpu / images)

    def __str__(self) -> str:
        return f"{self.rate:.1f} images/s ({self.cpu_ms:.0f} ms of a processor each)"


def encoder_alone(encoder: Encoder, batches: int) -> Speed:
    """Speed of the encoder on ready inputs, from one thread."""
    size = encoder.checkpoint.card.spec.size
    inputs = np.random.default_rng(0).integers(0, 255, (BATCH, size, size), dtype=np.uint8)
    encoder.encode(inputs)
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(batches):
        encoder.encode(inputs)
    seconds = time.perf_counter() - began
    return Speed.of(batches * BATCH, seconds, time.process_time() - cpu)


def job(images: Sequence[DatasetImage], encoder: Encoder, workers: int) -> Speed:
    """Speed of the index job, into a new store."""
    with ExitStack() as stack:
        decode = stack.enter_context(decoder(workers, Limits(), 60))
        for _ in range(workers):  # a worker that starts is no part of the speed
            decode(images[0].path.read_bytes())
        store = Store(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        migrate(store.database_url)
        catalog = stack.enter_context(open_catalog(store.database_url))
        cpu = cpu_seconds(os.getpid())
        outcome = embed_images(images, store, catalog, encoder, workers=workers, decode=decode)
        return Speed.of(outcome.embedded, outcome.seconds, cpu_seconds(os.getpid()) - cpu)


def as_jpeg2000(images: Sequence[DatasetImage], folder: Path) -> list[DatasetImage]:
    """Repack images as lossless JPEG 2000 in DICOM files of a folder."""
    packed = []
    for number, image in enumerate(images):
        pixels, stream = decode(image.path.read_bytes()).pixels, io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
        path = folder / f"{number}.dcm"
        path.write_bytes(encapsulated(pixels, stream.getvalue(), JPEG2000Lossless))
        packed.append(replace(image, path=path))
    return packed


def main() -> None:
    """Take turns, print images per second and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="data set or folder")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--precision", type=Precision, default=Precision.AUTO)
    parser.add_argument("--coding", choices=("as it is", "jpeg2000"), default="as it is")
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--limit", type=int, default=320)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    images = open_dataset(asked.images).images[: asked.limit]
    opened = load(asked.checkpoint)
    encoder = open_encoder(opened, precision=asked.precision, streams=asked.streams)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
          f"{len(images)} images, {asked.workers} workers, {encoder.streams} streams, "
          f"precision {asked.precision}")  # fmt: skip
    ratios, bounds = [], []
    with tempfile.TemporaryDirectory() as folder:
        if asked.coding == "jpeg2000":
            images = as_jpeg2000(images, Path(folder))
        before = encoder_alone(encoder, 8)
        for turn in range(1, asked.rounds + 1):
            whole = job(images, encoder, asked.workers)
            after = encoder_alone(encoder, 8)
            ratios.append(2 * whole.rate / (before.rate + after.rate))
            bounds.append((before.cpu_ms + after.cpu_ms) / 2 / whole.cpu_ms)
            print(f"round {turn}: job {whole}; encoder alone {before}, {after}; "
                  f"ratio {ratios[-1]:.2f}, bound {bounds[-1]:.2f}")  # fmt: skip
            before = after
    print(f"median ratio {statistics.median(ratios):.2f}, bound {statistics.median(bounds):.2f}")


if __name__ == "__main__":
    main()
