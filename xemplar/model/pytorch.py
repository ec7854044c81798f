"""The network as a PyTorch module: torchvision's DenseNet, used for training."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import DenseNet

from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.densenet import EMBEDDING, Architecture, Weights


class DenseNetwork(nn.Module):
    """torchvision's DenseNet, with the preprocessing spec's normalisation in front.

    Attributes:
        dense: torchvision's module; its state dict holds the checkpoint's weights except
            `xemplar.model.densenet.EMBEDDING`, which do not affect logits.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, findings: int, spec: PreprocessSpec) -> None:
        super().__init__()
        self.dense = DenseNet(
            growth_rate=architecture.growth,
            block_config=architecture.blocks,
            num_init_features=architecture.stem,
            bn_size=architecture.bottleneck,
            num_classes=findings,
        )
        # non-persistent buffers: moved with the module, saved in the checkpoint's spec instead
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, grey: Tensor) -> Tensor:
        """Replicate and normalise grey images, float (N, s, s) in [0, 1] -> (N, 3, s, s)."""
        channels = (grey.unsqueeze(1) - self.mean) / self.std
        return channels.contiguous(memory_format=torch.channels_last)

    @property
    def classifier(self) -> nn.Linear:
        """Linear layer on the pooled maps."""
        layer: nn.Linear = self.dense.classifier
        return layer

    def maps(self, grey: Tensor) -> Tensor:
        """Compute rectified maps (N, C, s/32, s/32) of grey images, float (N, s, s) in [0, 1]."""
        return self.levels(grey)[-1]

    def levels(self, grey: Tensor) -> list[Tensor]:
        """Compute maps after dense blocks 2 and 3, and the rectified last maps: strides 8, 16, 32.

        Args:
            grey: images, float (N, s, s) in [0, 1].
        """
        found, x = [], self.normalise(grey)
        for name, layer in self.dense.features.named_children():
            x = layer(x)
            if name in ("denseblock2", "denseblock3"):
                found.append(x)
        return [*found, F.relu(x)]

    def forward(self, grey: Tensor) -> Tensor:
        """Compute logits (N, F) of grey images, float (N, s, s) in [0, 1]."""
        pooled = self.maps(grey).mean(dim=(2, 3))
        logits: Tensor = self.dense.classifier(pooled)
        return logits


def weights_of(network: DenseNetwork) -> dict[str, np.ndarray]:
    """Export weights as float32 arrays by torchvision's names, without batch counters."""
    return {
        name: tensor.detach().float().cpu().contiguous().numpy()
        for name, tensor in network.dense.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def load_weights(network: DenseNetwork, weights: Weights) -> None:
    """Load a checkpoint's weights into the network.

    Raises:
        RuntimeError: names or shapes differ; the message lists them.
    """
    state: Mapping[str, Tensor] = {
        name: torch.from_numpy(np.array(value))
        for name, value in weights.items()
        if name not in EMBEDDING
    }
    missing = network.dense.load_state_dict(state, strict=False)
    lost = [name for name in missing.missing_keys if not name.endswith("num_batches_tracked")]
    if lost or missing.unexpected_keys:
        raise RuntimeError(f"missing weights {lost}, unexpected {missing.unexpected_keys}")
