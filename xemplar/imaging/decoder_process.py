"""Worker process of a `DecodingPool`: decodes one image after another until the pool closes.

``python -I -m xemplar.imaging.decoder_process SOCKET MEMORY SECONDS BYTES``: two file descriptors
and two limits. Request and response are one line of JSON each on the socket; the pixels, and after
them the levels of `DeepValues`, replace the file's bytes in the shared memory.
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
"""An invalid DICOM file; rejecting it imports every module that DICOM decoding needs."""

BASE_SECONDS = 1.5
"""Processor time granted to an empty image; a megapixel takes a hundredth of it."""

BASE_MEMORY = 224 * 2**20
"""Memory granted to an empty image in the largest file, including this process's own 50 MiB."""

FIELDS = tuple(one.name for one in fields(Radiograph) if one.name not in ("pixels", "deep"))


def limit(what: int, most: int) -> None:
    """Lower a resource limit of this process, soft and hard."""
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def limit_processor_time(seconds: float) -> None:
    """Limit the processor time of this process and its children, counted from now."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, hard))
    signal.setitimer(
        signal.ITIMER_PROF, seconds
    )  # SIGPROF ends the process; finer than whole seconds


@dataclass(frozen=True)
class Allowance(Limits):
    """Limits that grant time and memory in proportion to the declared number of pixels.

    The largest image gets the full amounts; until the size is known, `BASE_SECONDS` and
    `BASE_MEMORY` apply.

    Attributes:
        seconds: processor time for the largest image.
        memory: bytes for the largest image.
    """

    seconds: float = 0
    memory: int = 0

    def grant(self, pixels: int) -> None:
        """Set this process's limits for the declared number of pixels."""
        share = pixels / self.max_pixels
        limit_processor_time(_between(BASE_SECONDS, self.seconds, share))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = int(_between(BASE_MEMORY, self.memory, share))
        resource.setrlimit(resource.RLIMIT_DATA, (min(soft, hard), hard))


def _between(least: float, most: float, share: float) -> float:
    return min(least, most) + max(most - least, 0) * share


def answer(memory: mmap.mmap, size: int, limits: Limits) -> dict[str, Any]:
    """Decode an image in shared memory, replace it with its pixels, and return the response."""
    try:
        image = decode(memory[:size], limits)
    except InputError as rejection:
        if isinstance(rejection.__cause__, MemoryError):
            raise  # ends the process, which frees its memory; the pool reports the reason
        return {"refusal": type(rejection).__name__, "detail": str(rejection)}
    deep, size = image.deep, image.pixels.size
    np.frombuffer(memory, np.uint8, size)[:] = image.pixels.ravel()
    about = asdict(replace(image, pixels=None, deep=None))  # type: ignore[arg-type]  # not copied
    answered = {"shape": image.pixels.shape} | {name: about[name] for name in FIELDS}
    if deep is None:
        return answered | {"deep": None}
    levels = deep.levels.view(np.uint8).ravel()
    np.frombuffer(memory, np.uint8, levels.size, offset=size)[:] = levels
    window = {name: value for name, value in vars(deep).items() if name != "levels"}
    return answered | {"deep": {"shape": deep.levels.shape} | window}


def main() -> None:
    """Serve the parent pool until it closes its end of the socket."""
    channel, shared, seconds, most_bytes = (int(word) for word in sys.argv[1:])
    memory = mmap.mmap(shared, 0)
    with suppress(InputError):
        decode(NO_IMAGE)
    with suppress(OSError):
        # if the machine runs out of memory, kill this process rather than its parent
        Path("/proc/self/oom_score_adj").write_text("1000")
    limit(resource.RLIMIT_DATA, most_bytes)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, sys.stderr.fileno())  # library messages about an image may name the patient
    with socket.socket(fileno=channel) as pool, pool.makefile("rb") as requests:
        pool.sendall(b"{}\n")  # ready
        for line in requests:
            request = json.loads(line)
            limits = Allowance(**request["limits"], seconds=seconds, memory=most_bytes)
            limits.grant(0)
            response = answer(memory, request["size"], limits)
            pool.sendall(json.dumps(response, default=str).encode() + b"\n")


if __name__ == "__main__":
    main()
