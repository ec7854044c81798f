"""Throughput of the index job as a share of the encoder's own, in one run.

The encoder alone embeds ready inputs in batches of 16; the job reads, decodes, preprocesses,
writes pictures, embeds, explains and writes to the catalog. They take turns, as the speed of a
shared machine drifts. `ratio` is the job's images per second over the mean of the encoder's
before and after it.

    python -m benchmarks.indexing --radiographs images --limit 320
"""

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from xemplar_indexer.job import embed_images

from xemplar.archive.store import Store
from xemplar.catalog import migrate, open_catalog
from xemplar.data.datasets import DatasetImage, open_dataset
from xemplar.model.checkpoint import default_checkpoint, load
from xemplar.model.encoder import Encoder, Precision, open_encoder

BATCH = 16


def encoder_alone(encoder: Encoder, batches: int) -> float:
    """Images per second on ready inputs."""
    size = encoder.checkpoint.card.spec.size
    inputs = np.random.default_rng(0).integers(0, 255, (BATCH, size, size), dtype=np.uint8)
    encoder.encode(inputs)
    began = time.perf_counter()
    for _ in range(batches):
        encoder.encode(inputs)
    return batches * BATCH / (time.perf_counter() - began)


def job(images: tuple[DatasetImage, ...], encoder: Encoder, workers: int) -> float:
    """Images per second of the index job, into a new store."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        migrate(store.database_url)
        with open_catalog(store.database_url) as catalog:
            outcome = embed_images(images, store, catalog, encoder, workers=workers)
    return outcome.embedded / outcome.seconds


def main() -> None:
    """Take turns, print images per second and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="data set or folder")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--precision", type=Precision, default=Precision.AUTO)
    parser.add_argument("--limit", type=int, default=320)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    images = open_dataset(arguments.images).images[: arguments.limit]
    encoder = open_encoder(load(arguments.checkpoint), precision=arguments.precision)
    print(f"{platform.machine()}, {len(images)} images, {arguments.workers} workers, "
          f"precision {arguments.precision}")  # fmt: skip
    ratios = []
    before = encoder_alone(encoder, 8)
    for turn in range(1, arguments.rounds + 1):
        whole = job(images, encoder, arguments.workers)
        after = encoder_alone(encoder, 8)
        ratios.append(2 * whole / (before + after))
        print(f"round {turn}: job {whole:.1f} images/s, encoder alone {before:.1f} and "
              f"{after:.1f}, ratio {ratios[-1]:.2f}")  # fmt: skip
        before = after
    print(f"ratio: median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
