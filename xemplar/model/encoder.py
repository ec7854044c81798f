"""Forward pass: network inputs -> `Features`, on OpenVINO (default) or PyTorch."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from queue import SimpleQueue
from threading import Lock
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from xemplar.errors import ConfigurationError, InvalidArgument
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.densenet import EmbeddingHead, Features, features

log = logging.getLogger(__name__)

BATCH = 16
"""Images per forward pass where there are many; more are no faster on a processor."""


class Precision(StrEnum):
    """Arithmetic of the forward pass; AUTO uses bfloat16 on processors with native support."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Runtime(StrEnum):
    """Runtime of the forward pass."""

    OPENVINO = "openvino"
    PYTORCH = "pytorch"


class Backend(Protocol):
    """Runs the network of one checkpoint.

    Attributes:
        streams: forward passes that can run at once, each on its share of the threads.
    """

    streams: int

    def maps(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Compute rectified maps, float32 (N, C, size/32, size/32), of uint8 (N, size, size)."""
        ...


class Encoder:
    """Computes `Features` of network inputs in one forward pass. Thread-safe.

    Attributes:
        checkpoint: the network's weights and card.
    """

    def __init__(self, checkpoint: Checkpoint, backend: Backend) -> None:
        self.checkpoint = checkpoint
        self._backend = backend
        self._classifier = checkpoint.weights["classifier.weight"]
        self._bias = checkpoint.weights["classifier.bias"]
        self._head = EmbeddingHead.of(checkpoint.weights)

    @property
    def streams(self) -> int:
        """Number of calls from different threads that do not wait for each other."""
        return self._backend.streams

    def encode(self, inputs: npt.NDArray[np.uint8]) -> Features:
        """Encode N images.

        Args:
            inputs: uint8 (N, size, size) from `preprocess`, N >= 1.

        Raises:
            InvalidArgument: a different shape or dtype.
        """
        size = self.checkpoint.card.spec.size
        wanted = (max(1, len(inputs) if inputs.ndim else 0), size, size)
        if inputs.dtype != np.uint8 or inputs.shape != wanted:
            raise InvalidArgument(
                f"encode takes uint8 (N, {size}, {size}) with N >= 1, "
                f"not {inputs.dtype} {inputs.shape}"
            )
        return features(self._backend.maps(inputs), self._classifier, self._bias, self._head)


def open_encoder(
    checkpoint: Checkpoint,
    runtime: Runtime = Runtime.OPENVINO,
    precision: Precision = Precision.AUTO,
    threads: int = 0,
    streams: int = 1,
) -> Encoder:
    """Make the encoder of a checkpoint.

    Args:
        checkpoint: a loaded checkpoint.
        runtime: OPENVINO does not need torch.
        precision: precision of the convolutions; pooling and linear layers are at least float32. On
            the PyTorch runtime, the reference, AUTO is float32.
        threads: processor threads of the encoder on OpenVINO; 0 for OpenVINO's default. PyTorch
            uses the process-wide setting (`torch.set_num_threads`).
        streams: forward passes that may run at once on OpenVINO, dividing the threads between
            them; one that runs alone has all threads. 1: one after the other. More streams hold
            the weights in memory twice. PyTorch runs as many as are asked for.

    Raises:
        ConfigurationError: the runtime is not installed, or the processor lacks the precision.
    """
    if runtime is Runtime.OPENVINO:
        return Encoder(checkpoint, OpenVinoBackend(checkpoint, precision, threads, streams))
    return Encoder(checkpoint, PyTorchBackend(checkpoint, precision))


class OpenVinoBackend:
    """OpenVINO on the CPU: all threads for one forward pass, or a stream of them for each of many.

    Threads that share one image wait for each other at every layer; streams do not, so together
    they encode more images, each of them more slowly.
    """

    def __init__(
        self, checkpoint: Checkpoint, precision: Precision, threads: int, streams: int = 1
    ) -> None:
        import openvino

        from xemplar.model.openvino import build

        card, core = checkpoint.card, openvino.Core()
        model = build(card.architecture, checkpoint.weights, card.spec)
        options: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        whole = _compiled(core, model, precision, options)
        self.streams = min(streams, whole.get_property("INFERENCE_NUM_THREADS"))
        self._alone = self._shared = _queue([whole.create_infer_request()])
        if self.streams > 1:
            names = ("INFERENCE_NUM_THREADS", "INFERENCE_PRECISION_HINT")
            same = {name: whole.get_property(name) for name in names}
            divided = core.compile_model(model, "CPU", same | {"NUM_STREAMS": self.streams})
            requests = [divided.create_infer_request() for _ in range(self.streams)]
            for request in requests:  # the first pass of each prepares its kernels
                request.infer([np.zeros((1, card.spec.size, card.spec.size), np.uint8)])
            self._shared = _queue(requests)
        self._running, self._lock = 0, Lock()

    def maps(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Compute rectified maps; see `Backend.maps`."""
        with self._request() as request:
            request.infer([np.ascontiguousarray(inputs)])
            return np.array(request.get_output_tensor().data, np.float32)

    @contextmanager
    def _request(self) -> Iterator[Any]:
        """Yield an inference request: it owns its buffers, so it serves one caller at a time."""
        with self._lock:
            requests = self._shared if self._running else self._alone
            self._running += 1
        request = requests.get()
        try:
            yield request
        finally:
            requests.put(request)
            with self._lock:
                self._running -= 1


def _queue(requests: Iterable[Any]) -> SimpleQueue[Any]:
    queue: SimpleQueue[Any] = SimpleQueue()
    for request in requests:
        queue.put(request)
    return queue


def _compiled(core: Any, model: Any, precision: Precision, options: dict[str, str | int]) -> Any:
    """Compile the network for this processor.

    OpenVINO prefers bfloat16 on processors that have it, even if ONEDNN_MAX_CPU_ISA forbids the
    instructions; compilation then fails, and float32 is used.

    Raises:
        ConfigurationError: bfloat16 was requested and is not available.
    """
    hint = {Precision.FLOAT32: "f32", Precision.BFLOAT16: "bf16"}.get(precision)
    try:
        return core.compile_model(
            model, "CPU", options | ({"INFERENCE_PRECISION_HINT": hint} if hint else {})
        )
    except RuntimeError as error:
        if precision is Precision.BFLOAT16:
            raise ConfigurationError(
                "this processor cannot run the network in bfloat16; set the precision to auto or "
                "float32, and check whether ONEDNN_MAX_CPU_ISA forbids its instructions"
            ) from error
        if precision is Precision.FLOAT32:
            raise
    log.warning("the network cannot be compiled in the preferred precision; float32 is used")
    return _compiled(core, model, Precision.FLOAT32, options)


class PyTorchBackend:
    """PyTorch eager on the CPU: the reference, and the network for gradient-based explanations."""

    streams = 1

    def __init__(self, checkpoint: Checkpoint, precision: Precision) -> None:
        try:
            import torch

            from xemplar.model.pytorch import DenseNetwork, load_weights
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"the PyTorch runtime needs {error.name}; install it with `pip install "
                "'xemplar[explain]'`, or use the OpenVINO runtime"
            ) from error
        card = checkpoint.card
        self._torch = torch
        self._half = precision is Precision.BFLOAT16
        self.network = DenseNetwork(card.architecture, len(card.findings), card.spec)
        load_weights(self.network, checkpoint.weights)
        self.network.eval()

    def maps(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Compute rectified maps; see `Backend.maps`."""
        torch = self._torch
        with (
            torch.inference_mode(),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._half),
        ):
            grey = torch.from_numpy(np.ascontiguousarray(inputs)).float() / 255
            maps: npt.NDArray[np.float32] = self.network.maps(grey).float().numpy()
            return maps
