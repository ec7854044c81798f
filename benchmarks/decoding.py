"""Cost of decoding in a process that can be killed, against decoding in this process.

    python -m benchmarks.decoding

Both decode the same images in turns, and answer a whole query (`Retriever.ask`: five cases of 24
phantoms, by the shipped checkpoint). Prints the median of each, their difference and ratio, and the
memory of the worker: at its start, at most, and kept after the images.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from xemplar_app.memory import give_back_large_pieces

from tests.images import dicom, drawn_image, encoded
from tests.system.common import phantom_store
from xemplar.imaging import Limits, Radiograph, decode
from xemplar.imaging.decoder_pool import DecodingPool
from xemplar.model.checkpoint import default_checkpoint
from xemplar.retrieval.retriever import Retriever

CASES = 24


def images() -> dict[str, bytes]:
    """Synthetic images with noise, so that they compress as real ones do."""
    generator = np.random.default_rng(0)

    def deep(side: int) -> np.ndarray:
        """Draws an image of 12 bits."""
        noise = generator.integers(0, 16, (side, side), dtype=np.uint16)
        return drawn_image(1, side, side).astype(np.uint16) * 15 + noise

    png = drawn_image(1, 1024, 1024) + generator.integers(0, 16, (1024, 1024), dtype=np.uint8)
    return {
        "PNG, 1024 pixels": encoded(png),
        "DICOM, 10 megapixels": dicom(deep(3162)),
        "PNG of 16 bits, 36 megapixels": encoded(drawn_image(1, 6000, 6000).astype(np.uint16) * 9),
    }


def timed(task: Callable[[bytes], object], image: bytes) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    task(image)
    return (time.perf_counter() - began) * 1000


def compare(
    name: str,
    image: bytes,
    here: Callable[[bytes], object],
    apart: Callable[[bytes], object],
    n: int,
) -> None:
    """Time both in turns, and print medians."""
    times = [(timed(here, image), timed(apart, image)) for _ in range(n)]
    own, other = (statistics.median(one) for one in zip(*times, strict=True))
    print(
        f"{name:30}  {len(image) / 2**20:5.1f} MiB   here {own:7.1f} ms   apart "
        f"{other:7.1f} ms   {other - own:+.1f} ms   x {other / own:.2f}"
    )


def compare_queries(
    here: Callable[[bytes], Radiograph], pool: Callable[[bytes], Radiograph], n: int
) -> None:
    """Time whole queries with either decoder, on a store of phantoms."""
    with TemporaryDirectory(prefix="xemplar-decoding-") as folder:
        checkpoint = default_checkpoint()
        store, _ = phantom_store(Path(folder), checkpoint, CASES)
        retriever = Retriever.open(checkpoint, store)

        def asking(decoder: Callable[[bytes], Radiograph]) -> Callable[[bytes], object]:
            def ask(image: bytes) -> object:
                retriever.decode = decoder
                return retriever.ask(image)

            return ask

        name, image = next(iter(images().items()))
        retriever.ask(image)  # what is made on first use
        compare(f"query, {name}", image, asking(here), asking(pool), n)
        retriever.close()


def memory(process: int) -> str:
    """Reads the memory of a process, present and peak."""
    lines = (line.split() for line in Path(f"/proc/{process}/status").read_text().splitlines())
    found = {words[0]: int(words[1]) / 1024 for words in lines if words[0] in ("VmHWM:", "VmRSS:")}
    return f"{found['VmRSS:']:.0f} MiB, at most {found['VmHWM:']:.0f} MiB"


def main() -> None:
    """Time both, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=25)
    arguments = parser.parse_args()
    give_back_large_pieces()  # as the service does
    limits = Limits()
    here = partial(decode, limits=limits)
    began = time.perf_counter()
    with DecodingPool(1, limits) as pool:
        (worker,) = pool.processes
        pool(encoded(drawn_image(0)))
        print(f"worker  ready after {time.perf_counter() - began:.2f} s; {memory(worker)}")
        for name, image in images().items():
            compare(name, image, here, pool, arguments.times)
            print(f"worker  {memory(worker)}")
        compare_queries(here, pool, arguments.times)


if __name__ == "__main__":
    main()
