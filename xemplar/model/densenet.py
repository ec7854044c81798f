"""DenseNet (Huang et al., CVPR 2017) as data, and what one forward pass yields.

The network is built twice from one set of weights, named as torchvision names them: with PyTorch
(`xemplar.model.pytorch`, for training) and with OpenVINO's own operations
(`xemplar.model.openvino`, for everything else). Both compute only the rectified maps of the
last layer. Embedding and logits follow from the maps here, in float32, the same way for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

Weights: TypeAlias = Mapping[str, npt.NDArray[np.float32]]
"""Parameters and batch-norm statistics by torchvision's names, such as features.conv0.weight; and
under `MEAN` and `PROJECTION` what a network of torchvision's lacks."""

MEAN = "embedding.mean"
"""Name of the mean of the rectified maps over usual images, (C, g, g): what all have in common.

It is taken from an image's maps before they are pooled to an embedding (as Mu & Viswanath, ICLR
2018, do with words), so that a similarity tells images apart instead of saying that both are chest
X-rays.
"""

PROJECTION = "embedding.projection"
"""Name of the linear layer, (D, C), that a network may have on what is left: its D numbers say what
tells images apart by their findings (`trainer.projection`). Linear, so that the shares of the
places still add up to the similarity."""

EMBEDDING = (MEAN, PROJECTION)

STRIDE = 32
"""Pixels of the input on a side of each place of the last maps."""

BATCH_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Architecture:
    """The shape of a DenseNet; the default is DenseNet-169.

    Attributes:
        growth: channels that each dense layer adds.
        blocks: dense layers in each of the four blocks.
        stem: channels after the first convolution.
        bottleneck: width of each layer's 1 x 1 convolution, in multiples of ``growth``.
        projection: numbers of an embedding, see `PROJECTION`; 0: no such layer, it has as many as
            there are channels.
    """

    growth: int = 32
    blocks: tuple[int, int, int, int] = (6, 12, 32, 32)
    stem: int = 64
    bottleneck: int = 4
    projection: int = 0

    @property
    def embedding_size(self) -> int:
        """Numbers of an embedding."""
        return self.projection or self.channels

    @property
    def channels(self) -> int:
        """Of the last layer; 1664 for DenseNet-169."""
        channels = self.stem
        for block, layers in enumerate(self.blocks):
            channels += layers * self.growth
            if block < len(self.blocks) - 1:
                channels //= 2
        return channels


def shapes(architecture: Architecture, findings: int, size: int) -> dict[str, tuple[int, ...]]:
    """The shape of every weight, by its name, of a network for inputs of so many pixels a side."""
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
    """Where a network's embeddings lie: how they follow from its maps.

    Attributes:
        mean: float32 (C, g, g), see `MEAN`.
        projection: float64 (D, C), see `PROJECTION`; None where the network has none: D = C.
    """

    mean: npt.NDArray[np.float32]
    projection: npt.NDArray[np.float64] | None = None

    @classmethod
    def of(cls, weights: Weights) -> Self:
        """That of a network with these weights."""
        projection = weights.get(PROJECTION)
        # widened once, as it is multiplied with float64 for every image and every neighbour
        return cls(weights[MEAN], None if projection is None else projection.astype(np.float64))

    @property
    def dimension(self) -> int:
        """D."""
        return len(self.mean if self.projection is None else self.projection)

    def project(self, apart: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What departs from the mean, (..., C), as embeddings have it, (..., D)."""
        if self.projection is None:
            return apart
        projected: npt.NDArray[np.float64] = apart @ self.projection.T
        return projected

    def unproject(self, embedding: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        """How much each channel counts for an embedding, (D,) -> (C,): the other way round."""
        return embedding if self.projection is None else embedding @ self.projection


@dataclass(frozen=True, eq=False)
class Features:
    """What one forward pass yields for N images; C channels, F findings, a g x g grid (7 x 7).

    Attributes:
        embedding: float32 (N, D), unit vectors; their inner product, -1 to 1, is the similarity.
        logits: float32 (N, F), before calibration.
        maps: float32 (N, C, g, g), rectified activations of the last layer, all >= 0, in the
            frame of the network's input.
        space: of the network, the same for all images.
    """

    embedding: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    maps: npt.NDArray[np.float32]
    space: EmbeddingHead

    def pooled(self) -> npt.NDArray[np.float64]:
        """Means of the maps over the places, (N, C): an embedding before it is centred."""
        means: npt.NDArray[np.float64] = self.maps.mean(axis=(2, 3), dtype=np.float64)
        return means

    def one(self, place: int) -> "Features":
        """Of one of the N images (N = 1), copied: it does not keep the others in memory."""
        embedding, logits, maps = (
            part[place : place + 1].copy() for part in (self.embedding, self.logits, self.maps)
        )
        return Features(embedding, logits, maps, self.space)


def features(
    maps: npt.NDArray[np.float32],
    classifier: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
    space: EmbeddingHead,
) -> Features:
    """Embedding and logits from the rectified maps: global average pooling and one linear layer.

    With G the mean of an image's maps over the places, m that of the space's mean, and W its
    projection, the embedding is W(G - m) / |W(G - m)|.

    Args:
        maps: float32 (N, C, g, g), rectified.
        classifier: float32 (F, C), the weights of the linear layer.
        bias: float32 (F,).
        space: of the embeddings.
    """
    # in float64: what is left of images that are nearly usual is the difference of large numbers,
    # and the squares of the smallest float32 values do not vanish
    pooled = maps.mean(axis=(2, 3), dtype=np.float64)
    apart = space.project(pooled - space.mean.mean(axis=(1, 2), dtype=np.float64))
    length = np.linalg.norm(apart, axis=1, keepdims=True)
    return Features(
        embedding=(apart / np.maximum(length, np.finfo(np.float64).tiny)).astype(np.float32),
        logits=pooled.astype(np.float32) @ classifier.T + bias,
        maps=maps,
        space=space,
    )
