"""One worker of a `DecodingPool`: decodes images for it, one after the other, until it is gone.

``python -I -m xemplar.imaging.decoder_process SOCKET MEMORY SECONDS BYTES``: two file descriptors
and two limits. A request and its answer are a line of JSON each on the socket; the image, and then
the pixels in its place, are in the shared memory.
"""

import json
import mmap
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from xemplar.errors import InputError
from xemplar.imaging import Limits, Radiograph, decode

NO_IMAGE = bytes(128) + b"DICM"
"""Refused, but only once all that decodes DICOM is loaded."""

BASE_SECONDS = 1.5
"""Of the processor, for an image of no pixels; one of a megapixel takes a hundredth of that."""

BASE_MEMORY = 224 * 2**20
"""For an image of no pixels in the largest file, with the 50 MiB that this process has."""

FIELDS = tuple(one.name for one in fields(Radiograph) if one.name != "pixels")


def limit(what: int, most: int) -> None:
    """Let this process have no more of a resource, and never again."""
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def limit_processor_time(seconds: float) -> None:
    """End this process once it has computed for so long from now on, and those that it starts."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF ends it; finer than whole seconds


@dataclass(frozen=True)
class Allowance(Limits):
    """Limits that give an image time and memory in proportion to the pixels that it declares.

    The largest image gets all, and until an image has declared its size it gets what the smallest
    one does: `BASE_SECONDS` and `BASE_MEMORY`.

    Attributes:
        seconds: of the processor, for the largest image.
        memory: in bytes, for the largest image.
    """

    seconds: float = 0
    memory: int = 0

    def accept(self, pixels: int) -> None:
        """Implements Limits."""
        share = pixels / self.max_pixels
        limit_processor_time(_between(BASE_SECONDS, self.seconds, share))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = int(_between(BASE_MEMORY, self.memory, share))
        resource.setrlimit(resource.RLIMIT_DATA, (min(soft, hard), hard))


def _between(least: float, most: float, share: float) -> float:
    return min(least, most) + max(most - least, 0) * share


def answer(memory: mmap.mmap, size: int, limits: Limits) -> dict[str, Any]:
    """What is said of an image; its pixels take its place in the memory."""
    try:
        image = decode(memory[:size], limits)
    except InputError as refusal:
        if isinstance(refusal.__cause__, MemoryError):
            raise  # ends the process: the pool says why, and the next one begins with none taken
        return {"refusal": type(refusal).__name__, "detail": str(refusal)}
    np.frombuffer(memory, np.uint8, image.pixels.size)[:] = image.pixels.ravel()
    about = asdict(replace(image, pixels=None))  # type: ignore[arg-type]  # asdict would copy them
    return {"shape": image.pixels.shape} | {name: about[name] for name in FIELDS}


def main() -> None:
    """Serve the pool that started this process until its end of the socket is closed."""
    channel, shared, seconds, most_bytes = (int(word) for word in sys.argv[1:])
    memory = mmap.mmap(shared, 0)
    with suppress(InputError):
        decode(NO_IMAGE)
    with suppress(OSError):
        # where a machine runs out of memory, this process goes and not the one that it works for
        Path("/proc/self/oom_score_adj").write_text("1000")
    limit(resource.RLIMIT_DATA, most_bytes)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, sys.stderr.fileno())  # what libraries print of an image may name the patient
    with socket.socket(fileno=channel) as pool, pool.makefile("rb") as requests:
        pool.sendall(b"{}\n")  # ready
        for line in requests:
            asked = json.loads(line)
            limits = Allowance(**asked["limits"], seconds=seconds, memory=most_bytes)
            limits.accept(0)
            said = answer(memory, asked["size"], limits)
            pool.sendall(json.dumps(said, default=str).encode() + b"\n")


if __name__ == "__main__":
    main()
