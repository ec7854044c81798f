"""A small teacher: to convert the whole one for the processor takes 20 s of it, this one half.

And coarse figures, as each epoch draws two.
"""

from collections.abc import Iterator

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from xemplar_trainer import teacher
from xemplar_trainer.teacher import EfficientNetLite, pretrained

from tests.drawing import coarse_figures

NAME = "efficientnet-lite2"


def small_teacher(name: str) -> EfficientNetLite:
    """The network of a name, narrow and with one block at each stage, with random weights."""
    if name != NAME:
        return pretrained(name)  # which refuses it
    torch.manual_seed(0)
    network = EfficientNet.from_name(name, width_coefficient=0.1, depth_coefficient=0.1)
    network._fc = nn.Identity()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # so that it knows the images below, and no map fades away
    made = EfficientNetLite(network).train()
    made(torch.rand(8, 64, 64))
    return made.eval()


@pytest.fixture(autouse=True, scope="session")
def _coarse_figures() -> Iterator[None]:
    with coarse_figures():
        yield


@pytest.fixture(autouse=True, scope="session")
def _small_teacher() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher, "pretrained", small_teacher)
        yield


@pytest.fixture
def _whole_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are marked long."""
    monkeypatch.setattr(teacher, "pretrained", pretrained)
    monkeypatch.setattr(teacher, "_on_openvino", teacher._on_openvino.__wrapped__)
