"""DenseNet (Huang et al., CVPR 2017): architecture, weight names, and features of a forward pass.

Two implementations share one set of weights with torchvision's names: PyTorch
(`xemplar.model.pytorch`, for training) and OpenVINO operations (`xemplar.model.openvino`, for
inference). Both compute only the rectified maps of the last layer; embedding and logits are derived
from the maps here, identically for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

Weights: TypeAlias = Mapping[str, npt.NDArray[np.float32]]
"""Parameters and batch-norm statistics by torchvision's names, such as features.conv0.weight, plus
`MEAN` and `PROJECTION`, which torchvision's network does not have."""

MEAN = "embedding.mean"
"""Name of the mean activation, (C, g, g): the rectified maps averaged over training images.

It is subtracted from an image's maps before pooling (as Mu & Viswanath, ICLR 2018, do for word
vectors), because what all chest X-rays share would otherwise dominate the similarity.
"""

PROJECTION = "embedding.projection"
"""Name of the optional linear projection of the centred features, (D, C), fitted to separate images
by their findings (`trainer.projection`). It is linear so that the contributions of the spatial
locations still add up to the similarity."""

EMBEDDING = (MEAN, PROJECTION)

STRIDE = 32
"""Input pixels per side of each spatial location of the last maps."""

BATCH_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Architecture:
    """Architecture of a DenseNet; the default is DenseNet-169.

    Attributes:
        growth: channels that each dense layer adds.
        blocks: dense layers in each of the four blocks.
        stem: channels after the first convolution.
        bottleneck: width of each layer's 1 x 1 convolution, in multiples of ``growth``.
        projection: dimension of the projected embedding, see `PROJECTION`; 0 for no projection.
    """

    growth: int = 32
    blocks: tuple[int, int, int, int] = (6, 12, 32, 32)
    stem: int = 64
    bottleneck: int = 4
    projection: int = 0

    @property
    def embedding_size(self) -> int:
        """Dimension of an embedding."""
        return self.projection or self.channels

    @property
    def channels(self) -> int:
        """Channels of the last layer; 1664 for DenseNet-169."""
        channels = self.stem
        for block, layers in enumerate(self.blocks):
            channels += layers * self.growth
            if block < len(self.blocks) - 1:
                channels //= 2
        return channels


def shapes(architecture: Architecture, findings: int, size: int) -> dict[str, tuple[int, ...]]:
    """Compute the shape of every weight by name, for inputs of ``size`` x ``size`` pixels."""
    growth, inner = architecture.growth, architecture.growth * architecture.bottleneck
    channels = architecture.stem
    convolutions = {"features.conv0": (channels, 3, 7, 7)}
    norms = {"features.norm0": channels}
    for block, layers in enumerate(architecture.blocks, start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            norms |= {f"{name}.norm1": channels, f"{name}.norm2": inner}
            convolutions[f"{name}.conv1"] = (inner, channels, 1, 1)
            convolutions[f"{name}.conv2"] = (growth, inner, 3, 3)
            channels += growth
        if block < len(architecture.blocks):
            norms[f"features.transition{block}.norm"] = channels
            convolutions[f"features.transition{block}.conv"] = (channels // 2, channels, 1, 1)
            channels //= 2
    norms["features.norm5"] = channels
    projection = {PROJECTION: (architecture.projection, channels)}
    return {
        **{f"{name}.weight": shape for name, shape in convolutions.items()},
        **{
            f"{name}.{part}": (width,)
            for name, width in norms.items()
            for part in ("weight", "bias", "running_mean", "running_var")
        },
        "classifier.weight": (findings, channels),
        "classifier.bias": (findings,),
        MEAN: (channels, size // STRIDE, size // STRIDE),
        **(projection if architecture.projection else {}),
    }


@dataclass(frozen=True, eq=False)
class EmbeddingHead:
    """Maps centred features to embeddings.

    Attributes:
        mean: float32 (C, g, g), see `MEAN`.
        projection: float64 (D, C), see `PROJECTION`; None for no projection, where D = C.
    """

    mean: npt.NDArray[np.float32]
    projection: npt.NDArray[np.float64] | None = None

    @classmethod
    def of(cls, weights: Weights) -> Self:
        """Make the head of a network with these weights."""
        projection = weights.get(PROJECTION)
        # converted once: it is multiplied with float64 for every image and every neighbour
        return cls(weights[MEAN], None if projection is None else projection.astype(np.float64))

    @cached_property
    def centre(self) -> npt.NDArray[np.float64]:
        """The mean activation averaged over spatial locations, float64 (C,)."""
        centre: npt.NDArray[np.float64] = self.mean.mean(axis=(1, 2), dtype=np.float64)
        return centre

    @property
    def dimension(self) -> int:
        """Dimension D of an embedding."""
        return len(self.mean if self.projection is None else self.projection)

    def project(self, centred: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Project centred features, (..., C), to the embedding space, (..., D)."""
        if self.projection is None:
            return centred
        projected: npt.NDArray[np.float64] = centred @ self.projection.T
        return projected

    def unproject(self, embedding: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        """Map an embedding, (D,), to channel weights, (C,), with the transposed projection."""
        return embedding if self.projection is None else embedding @ self.projection


@dataclass(frozen=True, eq=False)
class Features:
    """Result of one forward pass on N images; C channels, F findings, a g x g grid (7 x 7).

    Attributes:
        embedding: float32 (N, D), unit vectors; their inner product, -1 to 1, is the similarity.
        logits: float32 (N, F), before calibration.
        maps: float32 (N, C, g, g), rectified activations of the last layer, all >= 0, in the
            frame of the network's input.
        head: embedding head of the network, shared by all images.
    """

    embedding: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    maps: npt.NDArray[np.float32]
    head: EmbeddingHead

    def pooled(self) -> npt.NDArray[np.float64]:
        """Average the maps over spatial locations, (N, C): the features before centring."""
        means: npt.NDArray[np.float64] = self.maps.mean(axis=(2, 3), dtype=np.float64)
        return means

    def one(self, index: int) -> "Features":
        """Copy the features of one image (N = 1), so that the others can be freed."""
        embedding, logits, maps = (
            part[index : index + 1].copy() for part in (self.embedding, self.logits, self.maps)
        )
        return Features(embedding, logits, maps, self.head)


def features(
    maps: npt.NDArray[np.float32],
    classifier: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
    head: EmbeddingHead,
) -> Features:
    """Compute embedding and logits from the rectified maps by global average pooling.

    With G the mean of an image's maps over spatial locations, m the same mean of the head's mean
    activation, and W its projection, the embedding is W(G - m) / |W(G - m)|.

    Args:
        maps: float32 (N, C, g, g), rectified.
        classifier: float32 (F, C), weights of the linear layer.
        bias: float32 (F,), bias of the linear layer.
        head: embedding head of the network.
    """
    # float64: the features of images close to the mean are differences of large numbers, and
    # squares of tiny float32 values would underflow
    pooled = maps.mean(axis=(2, 3), dtype=np.float64)
    centred = head.project(pooled - head.centre)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return Features(
        embedding=(centred / np.maximum(length, np.finfo(np.float64).tiny)).astype(np.float32),
        logits=pooled.astype(np.float32) @ classifier.T + bias,
        maps=maps,
        head=head,
    )
