"""Encoder: both runtimes agree, for any batch size and from concurrent threads."""

import builtins
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.agreement import PATIENCE, assert_agree
from tests.images import drawn_image, seeded_weights
from xemplar.data.findings import NIH14
from xemplar.errors import ConfigurationError, InvalidArgument
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.checkpoint import Card, Checkpoint
from xemplar.model.densenet import Architecture
from xemplar.model.encoder import Encoder, OpenVinoBackend, Precision, Runtime, open_encoder

CANCELLING = 10.0
"""Times that the terms of an embedding may exceed it: the mean activation is taken from them."""


def inputs(count: int, size: int = 64, first: int = 0) -> npt.NDArray[np.uint8]:
    return np.stack([drawn_image(seed, size, size) for seed in range(first, first + count)])


def cosines(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Cosine of each row with its fellow, in double precision."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    product: npt.NDArray[np.float64] = (one * other).sum(axis=1) / lengths
    return product


@pytest.fixture(autouse=True, scope="module")
def _compiled_anew() -> Iterator[None]:
    """Here the compiling itself is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xemplar.model.encoder.OpenVinoBackend", OpenVinoBackend)
        yield


@pytest.fixture(scope="module")
def encoder(tiny: Checkpoint) -> Encoder:
    return open_encoder(tiny, precision=Precision.FLOAT32)


@pytest.fixture(scope="module")
def reference(tiny: Checkpoint) -> Encoder:
    return open_encoder(tiny, Runtime.PYTORCH, Precision.FLOAT32)


def test_features_have_the_documented_shapes_and_ranges(encoder: Encoder) -> None:
    features = encoder.encode(inputs(3))
    architecture = encoder.checkpoint.card.architecture
    channels = architecture.channels
    assert features.embedding.shape == (3, architecture.embedding_size)
    assert features.logits.shape == (3, len(NIH14))
    assert features.maps.shape == (3, channels, 2, 2)
    arrays = (features.embedding, features.logits, features.maps)
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert features.maps.min() >= 0
    assert features.embedding.min() < 0 < features.embedding.max()


@pytest.mark.parametrize("runtime", Runtime)
def test_embeddings_are_unit_vectors(tiny: Checkpoint, runtime: Runtime) -> None:
    embedding = open_encoder(tiny, runtime).encode(inputs(4)).embedding
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-6)


def test_different_images_have_different_embeddings(encoder: Encoder) -> None:
    # so that the agreements below say something
    one, other = encoder.encode(inputs(2)).embedding
    assert one @ other < 0.9999


def test_openvino_in_float32_agrees_with_pytorch(encoder: Encoder, reference: Encoder) -> None:
    images = inputs(8)
    ours, theirs = encoder.encode(images), reference.encode(images)
    assert cosines(ours.embedding, theirs.embedding).min() >= 0.999999
    np.testing.assert_allclose(ours.logits, theirs.logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.maps, theirs.maps, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("runtime", Runtime)
def test_bfloat16_agrees_with_float32(
    tiny: Checkpoint, reference: Encoder, runtime: Runtime
) -> None:
    images = inputs(8)
    try:
        encoder = open_encoder(tiny, runtime, Precision.BFLOAT16)
    except ConfigurationError as reason:
        pytest.skip(str(reason))
    half, whole = encoder.encode(images), reference.encode(images)
    flat = (len(images), -1)
    assert cosines(half.maps.reshape(flat), whole.maps.reshape(flat)).min() >= 0.9999
    # what an image departs by from the usual is several times smaller than its maps, and the
    # rounding is not; of one that is nearly usual it is a good part
    assert np.median(cosines(half.embedding, whole.embedding)) >= 0.99


def test_without_bfloat16_instructions_auto_is_float32_and_bfloat16_is_rejected(
    tiny_checkpoint: Path,
) -> None:
    code = """
import sys
from pathlib import Path
from xemplar.model.checkpoint import load
from xemplar.model.encoder import Precision, open_encoder
from xemplar.errors import ConfigurationError
import numpy as np
tiny, images = load(Path(sys.argv[1])), np.full((1, 64, 64), 9, np.uint8)
auto, whole = (open_encoder(tiny, precision=p) for p in (Precision.AUTO, Precision.FLOAT32))
assert (auto.encode(images).embedding == whole.encode(images).embedding).all()
try:
    open_encoder(tiny, precision=Precision.BFLOAT16)
except ConfigurationError:
    pass
"""
    # OpenVINO finds bfloat16 in the processor, and may not use it
    limited = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    run = subprocess.run(
        [sys.executable, "-c", code, str(tiny_checkpoint)],
        env=limited, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def full() -> Checkpoint:
    """DenseNet-169 itself, with random weights."""
    architecture, spec = Architecture(), PreprocessSpec(size=64)
    return Checkpoint(Card(NIH14, spec, architecture), seeded_weights(architecture, 14), "")


def test_openvino_agrees_with_pytorch_on_densenet_169(full: Checkpoint) -> None:
    images = inputs(2)
    ours = open_encoder(full, precision=Precision.FLOAT32).encode(images)
    theirs = open_encoder(full, Runtime.PYTORCH, Precision.FLOAT32).encode(images)
    assert ours.embedding.shape == (2, 1664)
    assert cosines(ours.embedding, theirs.embedding).min() >= 0.999999
    assert cosines(ours.logits, theirs.logits).min() >= 0.999999


@pytest.mark.parametrize("runtime", Runtime)
def test_features_do_not_depend_on_the_batch(tiny: Checkpoint, runtime: Runtime) -> None:
    encoder, images = open_encoder(tiny, runtime, Precision.FLOAT32), inputs(5)
    together = encoder.encode(images)
    for place in range(5):
        alone = encoder.encode(images[place : place + 1])
        assert_agree(alone.embedding[0], together.embedding[place], CANCELLING)
        assert_agree(alone.logits[0], together.logits[place], CANCELLING)


@pytest.fixture(scope="module")
def divided(tiny: Checkpoint) -> Encoder:
    """An encoder of two streams with a thread each."""
    return open_encoder(tiny, precision=Precision.FLOAT32, threads=2, streams=2)


@pytest.mark.parametrize("name", ["encoder", "divided"])
def test_concurrent_threads_get_their_own_features(
    name: str, request: pytest.FixtureRequest
) -> None:
    encoder: Encoder = request.getfixturevalue(name)
    batches = [inputs(1 + n % 3, first=3 * n) for n in range(24)]
    alone = [encoder.encode(batch).embedding for batch in batches]
    with ThreadPoolExecutor(8) as threads:
        at_once = [f.embedding for f in threads.map(encoder.encode, batches)]
    for one, other in zip(alone, at_once, strict=True):
        assert_agree(one, other, CANCELLING)


def test_a_stream_encodes_while_others_are_busy(divided: Encoder) -> None:
    backend: Any = divided._backend
    if divided.streams == 1:
        pytest.skip("OpenVINO finds a single processor here, which is not divided")
    images = inputs(2)
    alone = divided.encode(images)
    with backend._request(), backend._request(), ThreadPoolExecutor(1) as threads:
        meanwhile = threads.submit(divided.encode, images).result(PATIENCE)
    assert_agree(meanwhile.embedding, alone.embedding, CANCELLING)
    assert_agree(meanwhile.maps, alone.maps)


def test_streams_beyond_the_threads_are_not_made(tiny: Checkpoint) -> None:
    assert open_encoder(tiny, threads=1, streams=8).streams == 1


def test_features_are_not_overwritten_by_the_next_call(encoder: Encoder) -> None:
    features = encoder.encode(inputs(2))
    before = features.maps.copy()
    encoder.encode(inputs(2, first=7))
    np.testing.assert_array_equal(features.maps, before)


def test_a_view_of_another_array_is_encoded_like_a_copy(encoder: Encoder) -> None:
    flipped = inputs(2)[:, ::-1, ::-1]
    np.testing.assert_array_equal(
        encoder.encode(flipped).embedding, encoder.encode(flipped.copy()).embedding
    )


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((1, 64, 65), np.uint8),
        np.zeros((1, 3, 64, 64), np.uint8),
        np.zeros((1, 64, 64), np.float32),
        np.zeros((0, 64, 64), np.uint8),
        np.zeros((), np.uint8),
    ],
    ids=["two axes", "not square", "four axes", "float", "none", "a number"],
)
def test_inputs_of_another_shape_or_type_are_rejected(
    encoder: Encoder, wrong: npt.NDArray[Any]
) -> None:
    with pytest.raises(InvalidArgument, match=r"takes uint8 \(N, 64, 64\).*not \w+ \("):
        encoder.encode(wrong)


def absent(missing: str) -> Callable[..., Any]:
    """An ``import`` that does not find one package."""
    find = builtins.__import__

    def search(name: str, *rest: Any, **options: Any) -> Any:
        if name.split(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return find(name, *rest, **options)

    return search


def test_without_torch_the_pytorch_runtime_says_how_to_install_it(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtins, "__import__", absent("torch"))
    with pytest.raises(
        ConfigurationError, match=r"needs torch; .*pip install 'xemplar\[explain\]'"
    ):
        open_encoder(tiny, Runtime.PYTORCH)


def test_without_torch_the_openvino_runtime_works(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtins, "__import__", absent("torch"))
    assert len(open_encoder(tiny).encode(inputs(1)).embedding) == 1


def test_pytorch_leaves_no_gradients_behind(reference: Encoder) -> None:
    reference.encode(inputs(1))
    network: torch.nn.Module = reference._backend.network  # type: ignore[attr-defined]
    assert all(parameter.grad is None for parameter in network.parameters())
