"""Decodes images in worker processes that can be killed, so that no image holds up a service.

A decoder is code that hostile bytes may drive into an endless loop, into all memory, or into a
crash, and a thread cannot be stopped. So images from outside are decoded by processes of their own,
which are started beforehand. A request and its answer are a line of JSON each, and the answer is
checked as any input is; image and pixels lie in memory that both processes share.
"""

import json
import logging
import mmap
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from typing import Any, Self, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveInt, TypeAdapter, create_model

from xemplar import errors
from xemplar.errors import ConfigurationError, InputError, UnreadableImage
from xemplar.imaging import Limits, Radiograph, decode

log = logging.getLogger(__name__)

START_SECONDS = 60.0
"""A worker that is not ready by then never will be."""

MAX_LINE = 64 * 1024
"""Bytes of a worker's answer, without the pixels."""

KEPT_BYTES = 32 * 2**20
"""Memory that is kept between images: to ask the system for it anew takes longer than a copy."""

ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    # what the C library keeps of freed memory (mallopt(3)); others than glibc do as they like
    "MALLOC_MMAP_THRESHOLD_": str(KEPT_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(2 * KEPT_BYTES),
}
"""All that a worker sees of the environment, which may hold passwords."""

# isolated: nothing is imported from the working directory
COMMAND = (sys.executable, "-I", "-m", "xemplar.imaging.decoder_process")

FIELDS = {
    name: (kind, ...) for name, kind in get_type_hints(Radiograph).items() if name != "pixels"
}


class Refused(BaseModel):
    """What a worker says of an image that cannot be used."""

    model_config = ConfigDict(extra="forbid")
    refusal: str
    detail: str


class _Image(BaseModel):
    """What a worker says of an image whose pixels are in the shared memory."""

    model_config = ConfigDict(extra="forbid")
    shape: tuple[PositiveInt, PositiveInt]


DatasetImage: Any = create_model("DatasetImage", __base__=_Image, **FIELDS)  # type: ignore[call-overload]
ANSWER: TypeAdapter[Any] = TypeAdapter(DatasetImage | Refused)


REFUSALS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, InputError)
}


@contextmanager
def decoder(workers: int, limits: Limits, seconds: int) -> Iterator[Callable[[bytes], Radiograph]]:
    """Decode in a `DecodingPool` where there can be one, else in this process and without limits.

    For jobs on a folder of one's own; a service takes a `DecodingPool` or does not start.
    """
    if not hasattr(os, "memfd_create"):
        log.warning("images are decoded without a limit of time: that needs Linux")
        yield partial(decode, limits=limits)
        return
    with DecodingPool(workers, limits, seconds) as pool:
        yield pool


class DecodingPool:
    """Decodes images as `decode` does, within limits of time and memory. Thread-safe; for Linux.

    Each image has a worker to itself; while all are busy, others wait.
    """

    def __init__(
        self, workers: int, limits: Limits, seconds: int = 20, max_memory: int = 2**30
    ) -> None:
        """Start the workers; returns before they are ready.

        Args:
            workers: images that are decoded at once.
            limits: what to refuse.
            seconds: the largest image that takes longer is refused; others have less, in proportion
                to their pixels.
            max_memory: bytes that a worker may take for the largest image, beside what it shares.

        Raises:
            ConfigurationError: this system has no memory that processes can share without a file.
        """
        if not hasattr(os, "memfd_create"):
            raise ConfigurationError(
                f"the service decodes images in processes of their own, which needs Linux, and "
                "this "
                f"is {sys.platform}; run it in a container"
            )
        self._limits = limits
        self._workers = [_Worker(limits, seconds, max_memory) for _ in range(workers)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def __call__(self, data: bytes) -> Radiograph:
        """Decode an image.

        Raises:
            InputError: as `decode` does; and it took too long or too much memory, or ended its
                worker (`UnreadableImage`).
            ConfigurationError: no worker can be started.
        """
        if len(data) > self._limits.max_bytes:
            return decode(data, self._limits)  # which refuses it unseen
        worker = self._idle.get()
        try:
            return worker.decode(data)
        finally:
            self._idle.put(worker)

    @property
    def processes(self) -> list[int]:
        """Ids of the workers' processes."""
        return [worker.pid for worker in self._workers]

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """One process at a time, and another one after each that had to be killed; for one thread."""

    def __init__(self, limits: Limits, seconds: int, max_memory: int) -> None:
        self._limits, self._seconds, self._max_memory = limits, seconds, max_memory
        self._shared = os.memfd_create("image")
        os.ftruncate(self._shared, max(limits.max_bytes, limits.max_pixels))
        self._memory = mmap.mmap(self._shared, 0)
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def decode(self, data: bytes) -> Radiograph:
        """Decode one image, of no more bytes than the limit."""
        self._be_ready()
        self._memory[: len(data)] = data
        request = {"size": len(data), "limits": asdict(self._limits)}
        try:
            self._socket.settimeout(self._seconds)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer = ANSWER.validate_json(self._receive(self._seconds))
            if isinstance(answer, Refused):
                raise REFUSALS[answer.refusal](answer.detail)
            return self._radiograph(answer)
        except (OSError, ValueError, KeyError) as error:
            raise UnreadableImage(self._replaced(isinstance(error, TimeoutError))) from error
        finally:
            if len(self._memory) > KEPT_BYTES:
                self._memory.madvise(mmap.MADV_REMOVE, KEPT_BYTES)

    def close(self) -> None:
        self._stop()
        self._memory.close()
        os.close(self._shared)

    def _radiograph(self, answer: Any) -> Radiograph:
        height, width = answer.shape
        pixels = np.frombuffer(self._memory, np.uint8, height * width).reshape(height, width)
        about = {name: getattr(answer, name) for name in FIELDS}
        return Radiograph(pixels=pixels.copy(), **about)

    def _replaced(self, late: bool) -> str:
        """Replace the process; returns why it had to be."""
        if self._stop() in (-signal.SIGXCPU, -signal.SIGPROF) or late:
            reason = (
                f"took longer than an image of its size may; {self._seconds} seconds is the limit "
                "for the largest"
            )
        else:
            reason = (
                "failed in a way that ended the decoder, as damaged images do, or those that take "
                "more memory than an image of their size may, of at most "
                f"{self._max_memory / 2**20:,.0f} MiB"
            )
        with suppress(OSError):  # else the next image finds out
            self._start()
        return f"decoding the image {reason}; export it again, smaller or in another format"

    # ---- the process ------------------------------------------------------------------------

    def _start(self) -> None:
        self._ready = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            numbers = (theirs.fileno(), self._shared, self._seconds, self._max_memory)
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [*COMMAND, *map(str, numbers)],
                pass_fds=numbers[:2],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,  # a signal of the terminal is not for it
            )

    def _stop(self) -> int:
        """Kill the process and all that it started; returns its status."""
        self._socket.close()
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def _be_ready(self) -> None:
        """Wait for a process that is starting, and replace one that ended while it was idle."""
        try:
            if self._process.returncode is not None or (self._ready and not self._waits()):
                self._stop()
                self._start()
            if not self._ready:
                self._receive(START_SECONDS)
                self._ready = True
        except OSError as error:
            self._stop()
            raise ConfigurationError(
                "the process that decodes images does not start; what it wrote tells why"
            ) from error

    def _waits(self) -> bool:
        """Whether the process lives, and has said nothing unasked."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _receive(self, seconds: float) -> bytes:
        """The next line.

        Raises:
            TimeoutError: it did not come in time.
            ConnectionError: the process ended, or writes without end.
        """
        line, deadline = b"", time.monotonic() + seconds
        while not line.endswith(b"\n"):
            self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
            piece = self._socket.recv(MAX_LINE)
            line += piece
            if not piece or len(line) > MAX_LINE:
                raise ConnectionError
        return line
