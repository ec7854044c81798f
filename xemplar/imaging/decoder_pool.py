"""Decodes images in worker processes that can be killed, so that no image blocks a service.

Hostile bytes may drive a decoder into an endless loop, memory exhaustion or a crash, and a thread
cannot be stopped. So untrusted images are decoded in separate processes, started in advance.
Request and response are one line of JSON each, and the response is validated like any input; the
file and its pixels are passed in shared memory.
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
from typing import Annotated, Any, Self, get_type_hints

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    create_model,
)

from xemplar import errors
from xemplar.errors import ConfigurationError, InputError, UnreadableImage
from xemplar.imaging import DISPLAY_SIDE, Limits, Radiograph, decode
from xemplar.imaging.deep import DeepValues

log = logging.getLogger(__name__)

START_SECONDS = 60.0
"""Time in which a worker must become ready."""

MAX_LINE = 64 * 1024
"""Maximum bytes of a worker's response, without the pixels."""

KEPT_BYTES = 32 * 2**20
"""Memory kept between images: requesting it anew takes longer than a copy."""

ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    # freed memory that glibc keeps (mallopt(3)); other C libraries ignore it
    "MALLOC_MMAP_THRESHOLD_": str(KEPT_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(2 * KEPT_BYTES),
}
"""The workers' complete environment: the service's own may contain passwords."""

# isolated: nothing is imported from the working directory
COMMAND = (sys.executable, "-I", "-m", "xemplar.imaging.decoder_process")

FIELDS = {
    name: (kind, ...)
    for name, kind in get_type_hints(Radiograph).items()
    if name not in ("pixels", "deep")
}

DEEP_BYTES = 2 * DISPLAY_SIDE**2
"""Room behind the pixels for the levels of `DeepValues`."""


DisplaySide = Annotated[int, Field(ge=1, le=DISPLAY_SIDE)]


class Rejection(BaseModel):
    """Response of a worker to an image that cannot be used."""

    model_config = ConfigDict(extra="forbid")
    refusal: str
    detail: str


class _DeepValues(BaseModel):
    """`DeepValues` of a worker's response, whose levels follow the pixels."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    shape: tuple[DisplaySide, DisplaySide]
    slope: PositiveFloat
    intercept: float
    centre: float
    width: PositiveFloat
    inverted: bool


class _ImageShape(BaseModel):
    """Response of a worker whose decoded pixels are in the shared memory."""

    model_config = ConfigDict(extra="forbid")
    shape: tuple[PositiveInt, PositiveInt]
    deep: _DeepValues | None


DecodedImage: Any = create_model("DecodedImage", __base__=_ImageShape, **FIELDS)  # type: ignore[call-overload]
ANSWER: TypeAdapter[Any] = TypeAdapter(DecodedImage | Rejection)


INPUT_ERRORS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, InputError)
}


@contextmanager
def decoder(workers: int, limits: Limits, seconds: int) -> Iterator[Callable[[bytes], Radiograph]]:
    """Yield a `DecodingPool`, or plain `decode` without limits where a pool is not supported.

    For batch jobs on trusted folders; a service requires a `DecodingPool`.
    """
    if not hasattr(os, "memfd_create"):
        log.warning("images are decoded without a time limit, which requires Linux")
        yield partial(decode, limits=limits)
        return
    with DecodingPool(workers, limits, seconds) as pool:
        yield pool


class DecodingPool:
    """Decodes images like `decode`, within limits of time and memory. Thread-safe; Linux only.

    Each image occupies one worker; further images wait while all workers are busy.
    """

    def __init__(
        self, workers: int, limits: Limits, seconds: int = 20, max_memory: int = 2**30
    ) -> None:
        """Start the workers; returns before they are ready.

        Args:
            workers: number of images decoded concurrently.
            limits: size limits.
            seconds: processor time for the largest image; smaller images get less, in proportion
                to their pixels.
            max_memory: bytes a worker may allocate for the largest image, besides shared memory.

        Raises:
            ConfigurationError: the system does not support anonymous shared memory (memfd).
        """
        if not hasattr(os, "memfd_create"):
            raise ConfigurationError(
                "the service decodes images in separate processes, which requires Linux, and this "
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
            InputError: see `decode`; also `UnreadableImage` if decoding exceeded its time or
                memory, or crashed the worker.
            ConfigurationError: no worker can be started.
        """
        if len(data) > self._limits.max_bytes:
            return decode(data, self._limits)  # which rejects it by its size
        worker = self._idle.get()
        try:
            return worker.decode(data)
        finally:
            self._idle.put(worker)

    @property
    def processes(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.pid for worker in self._workers]

    def close(self) -> None:
        """Stop the workers."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """Runs one process at a time and replaces it after a kill. Not thread-safe."""

    def __init__(self, limits: Limits, seconds: int, max_memory: int) -> None:
        self._limits, self._seconds, self._max_memory = limits, seconds, max_memory
        self._shared = os.memfd_create("image")
        os.ftruncate(self._shared, max(limits.max_bytes, limits.max_pixels + DEEP_BYTES))
        self._memory = mmap.mmap(self._shared, 0)
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def decode(self, data: bytes) -> Radiograph:
        """Decode one image; the caller has checked its size in bytes."""
        self._ensure_ready()
        self._memory[: len(data)] = data
        request = {"size": len(data), "limits": asdict(self._limits)}
        try:
            self._socket.settimeout(self._seconds)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer = ANSWER.validate_json(self._receive(self._seconds))
            if isinstance(answer, Rejection):
                raise INPUT_ERRORS[answer.refusal](answer.detail)
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
        deep = self._deep(answer.deep, offset=pixels.size)
        return Radiograph(pixels=pixels.copy(), deep=deep, **about)

    def _deep(self, about: _DeepValues | None, offset: int) -> DeepValues | None:
        if about is None:
            return None
        height, width = about.shape
        size = 2 * height * width
        levels = np.frombuffer(self._memory, np.uint8, size, offset).copy().view(np.uint16)
        return DeepValues(levels.reshape(height, width), **about.model_dump(exclude={"shape"}))

    def _replaced(self, late: bool) -> str:
        """Replace the process; return a message with the reason."""
        if self._stop() in (-signal.SIGXCPU, -signal.SIGPROF) or late:
            reason = (
                f"took longer than allowed for its size; {self._seconds} seconds is the limit for "
                "the largest image"
            )
        else:
            reason = (
                "ended the decoder process: the file is damaged, or needs more memory than allowed "
                f"for its size, at most {self._max_memory / 2**20:,.0f} MiB"
            )
        with suppress(OSError):  # else the next image reports it
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
                start_new_session=True,  # not stopped by the terminal's signals
            )

    def _stop(self) -> int:
        """Kill the process and its children; return its exit status."""
        self._socket.close()
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def _ensure_ready(self) -> None:
        """Wait for a starting process; replace one that ended while idle."""
        try:
            if self._process.returncode is not None or (self._ready and not self._is_idle()):
                self._stop()
                self._start()
            if not self._ready:
                self._receive(START_SECONDS)
                self._ready = True
        except OSError as error:
            self._stop()
            raise ConfigurationError(
                "the image decoding process does not start; its output shows why"
            ) from error

    def _is_idle(self) -> bool:
        """Check that the process is alive and has sent nothing unrequested."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _receive(self, seconds: float) -> bytes:
        """Receive the next line.

        Raises:
            TimeoutError: it did not arrive in time.
            ConnectionError: the process ended, or the line exceeds `MAX_LINE`.
        """
        line, deadline = b"", time.monotonic() + seconds
        while not line.endswith(b"\n"):
            self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
            piece = self._socket.recv(MAX_LINE)
            line += piece
            if not piece or len(line) > MAX_LINE:
                raise ConnectionError
        return line
