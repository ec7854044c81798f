"""Small films and tiny networks that tests build on."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from xemplar.network import Architecture
from xemplar.preprocess import PreprocessSpec

TINY = Architecture(growth=4, blocks=(1, 2, 1, 1), stem=8)


def seeded_weights(
    architecture: Architecture, findings: int, seed: int = 0
) -> dict[str, npt.NDArray[np.float32]]:
    """Random weights with batch-norm statistics as a trained network has them: none is 0 or 1."""
    import torch

    from xemplar.network.pytorch import DenseNetwork, weights_of

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DenseNetwork(architecture, findings, PreprocessSpec(size=64))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.running_mean, 0, 0.3)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0, 0.2)
        torch.nn.init.normal_(network.dense.classifier.weight, 0, 0.5)
        torch.nn.init.normal_(network.dense.classifier.bias, 0, 0.5)
    return weights_of(network)


def drawn_film(seed: int, height: int = 96, width: int = 80) -> npt.NDArray[np.uint8]:
    """A grey picture with some structure, uint8 (height, width); another for each seed."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(20, 235, (8, 8), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels: npt.NDArray[np.generic], format: str = "PNG", **options: object) -> bytes:  # noqa: A002
    """A picture file's bytes of an array."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()
