"""The network and its Grad-CAM, as Quantus asks for them.

What Quantus sees is the PyTorch network with a sigmoid behind each logit. Its own ``softmax=True``
is wrong here: it would let findings compete that may well occur together. Calibration is left out:
it is fitted to images, and an image half blackened is none of those.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xemplar.imaging.preprocess import PreprocessSpec, onto_image
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.densenet import STRIDE
from xemplar.model.explain import grad_cam
from xemplar.model.pytorch import DenseNetwork, load_weights

Maps: TypeAlias = npt.NDArray[np.float32]


class Probabilities(nn.Module):
    """The network as Quantus wants it: images (N, 1, s, s) -> a probability for each finding."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        card = checkpoint.card
        self.spec = card.spec
        self.network = DenseNetwork(card.architecture, len(card.findings), card.spec)
        load_weights(self.network, checkpoint.weights)
        self.eval()
        self.network.to(memory_format=torch.channels_last)  # as it lays out its inputs; faster

    def forward(self, images: Tensor) -> Tensor:
        """Uncalibrated probabilities, float (N, F) in [0, 1], of images, float (N, 1, s, s)."""
        return torch.sigmoid(self.network(images[:, 0]))


def cams_of(model: Probabilities, inputs: Maps, targets: npt.NDArray[np.int64]) -> Maps:
    """Grad-CAM by one forward pass in closed form, for Quantus.

    Args:
        model: the network.
        inputs: float (N, 1, s, s), grey values, in [0, 1] but for noise.
        targets: int (N,), the finding to explain on each.

    Returns:
        float32 (N, 1, s, s), >= 0, brought to the input's frame bilinearly. A map that is 0
        everywhere is given as NaN: Quantus refuses a batch of nothing but zeros, and
        `by_own_maximum` turns it back.
    """
    weights = model.network.dense.classifier.weight.detach().numpy()
    with torch.inference_mode():
        maps = model.network.maps(torch.as_tensor(inputs[:, 0], dtype=torch.float32)).numpy()
    cams = grad_cam(maps, weights)[np.arange(len(targets)), targets]
    large = enlarged(cams, model.spec)
    large[large.max(axis=(1, 2, 3)) <= 0] = np.nan
    return large


def random_maps(model: Probabilities, inputs: Maps, random: np.random.Generator) -> Maps:
    """Maps of chance, float32 (N, 1, s, s), as smooth as Grad-CAM: uniform noise in its cells.

    Noise in each pixel alone would be no fair chance for Pixel Flipping: to blacken single pixels
    all over an image destroys its texture at the first step, wherever the network looks.
    """
    cells = model.spec.size // STRIDE
    return enlarged(random.random((len(inputs), cells, cells), np.float32), model.spec)


def enlarged(maps: Maps, spec: PreprocessSpec) -> Maps:
    """Maps (N, g, g) in the frame of the input, float32 (N, 1, s, s), bilinearly."""
    return np.stack([onto_image(one, spec, spec.size, spec.size) for one in maps])[:, None]


def by_own_maximum(maps: Maps) -> Maps:
    """Each map (N, 1, s, s) divided by its own maximum; blank ones (NaN) become 0.

    Quantus's default divides a whole batch by one maximum, so that an image's score would depend on
    the images beside it. A map that vanishes under noise counts as having moved by all its length.
    """
    scaled: Maps = np.nan_to_num(maps / np.abs(maps).max(axis=(1, 2, 3), keepdims=True))
    return scaled
