"""Builds the network as an OpenVINO graph from the weights, without torch or a conversion.

A DenseNet has six types of node: convolution, batch norm (folded into scale and shift), ReLU,
max pooling, average pooling, concatenation.
"""

from typing import Any

import numpy as np
import openvino
from openvino import opset13 as op

from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.densenet import BATCH_NORM_EPSILON, Architecture, Weights


def build(architecture: Architecture, weights: Weights, spec: PreprocessSpec) -> openvino.Model:
    """Build a graph: uint8 (N, size, size) -> rectified maps, float32 (N, C, size/32, size/32)."""
    images = op.parameter([-1, spec.size, spec.size], np.uint8, name="images")
    node = _normalise(images, spec)
    node = _conv(node, weights["features.conv0.weight"], stride=2, padding=3)
    node = _norm_relu(node, weights, "features.norm0")
    node = op.max_pool(node, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    for block, layers in enumerate(architecture.blocks, start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            new = _norm_relu(node, weights, f"{name}.norm1")
            new = _conv(new, weights[f"{name}.conv1.weight"])
            new = _norm_relu(new, weights, f"{name}.norm2")
            new = _conv(new, weights[f"{name}.conv2.weight"], padding=1)
            node = op.concat([node, new], axis=1)
        if block < len(architecture.blocks):
            name = f"features.transition{block}"
            node = _norm_relu(node, weights, f"{name}.norm")
            node = _conv(node, weights[f"{name}.conv.weight"])
            node = op.avg_pool(node, [2, 2], [0, 0], [0, 0], [2, 2], exclude_pad=True)
    maps = _norm_relu(node, weights, "features.norm5")
    return openvino.Model([op.result(maps, name="maps")], [images], "densenet")


def _normalise(images: Any, spec: PreprocessSpec) -> Any:
    """Normalise uint8 (N, s, s) to float32 (N, 3, s, s): scaled to [0, 1], replicated."""
    scale = 1 / (255 * np.array(spec.std, np.float32))
    shift = -np.array(spec.mean, np.float32) / np.array(spec.std, np.float32)
    grey = op.unsqueeze(op.convert(images, "f32"), np.int64(1))
    # broadcasting (N, 1, s, s) by (1, 3, 1, 1) replicates the grey channel
    scaled = op.multiply(grey, scale.reshape(1, 3, 1, 1).astype(np.float32))
    return op.add(scaled, shift.reshape(1, 3, 1, 1).astype(np.float32))


def _conv(node: Any, weight: Any, *, stride: int = 1, padding: int = 0) -> Any:
    pads = [padding, padding]
    return op.convolution(node, op.constant(weight), [stride, stride], pads, pads, [1, 1])


def _norm_relu(node: Any, weights: Weights, name: str) -> Any:
    """Apply batch norm, in inference a scale and a shift (Ioffe and Szegedy, 2015), and ReLU."""
    scale = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + BATCH_NORM_EPSILON)
    shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
    scaled = op.multiply(node, scale.reshape(1, -1, 1, 1).astype(np.float32))
    return op.relu(op.add(scaled, shift.reshape(1, -1, 1, 1).astype(np.float32)))
