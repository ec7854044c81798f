"""Explanations of an image and finding, and their baselines, from stored feature maps.

No forward pass and no backward pass: all follow from the rectified maps R (C, g, g) of the image.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from xemplar.errors import ConfigurationError
from xemplar.model.densenet import EmbeddingHead, Features
from xemplar.model.explain import grad_cam, similarity_evidence

from ..data import Candidates, EvaluationData, EvaluationImages, nearest

Map = npt.NDArray[np.float32]

GRAD_CAM, EIGEN_CAM, EVIDENCE = "Grad-CAM", "EigenCAM", "similarity evidence"
BY_GRADIENT: Mapping[str, str] = {
    "Grad-CAM++": "GradCAMPlusPlus",
    "LayerCAM": "LayerCAM",
}
"""Methods, and their classes in pytorch-grad-cam, that weigh the maps by the gradient of the
finding's logit. HiResCAM is not among them: behind global average pooling it is Grad-CAM."""

UNIFORM, TYPICAL, CENTRED = "uniform map", "mean Grad-CAM of the finding", "centred Gaussian"
BASELINES = (UNIFORM, TYPICAL, CENTRED)
METHODS = (GRAD_CAM, *BY_GRADIENT, EIGEN_CAM, EVIDENCE, *BASELINES)

NEIGHBOURS = 5
"""Similar cases that the similarity evidence is the mean over, as many as a query shows."""

SIGMA = 0.25
"""Sigma of the centred Gaussian, in sides of the network's input."""


class Explainer:
    """Computes all explanations of images of one `EvaluationData`.

    Raises:
        ConfigurationError: pytorch-grad-cam is not installed.
    """

    def __init__(self, data: EvaluationData) -> None:
        try:  # imported here, as it and torch take seconds that most studies need not wait
            import pytorch_grad_cam
            from torch import nn
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"the localisation study needs {error.name}; install it with "
                "`pip install 'xemplar[evaluate]'`"
            ) from error
        weights = data.encoder.checkpoint.weights
        self._classifier, self._head = weights["classifier.weight"], EmbeddingHead.of(weights)
        self._findings = tuple(data.findings)
        self._candidates = data.candidates
        # the library wants a network to hook into; what is asked of it here never looks at one
        self._by_gradient = {
            name: getattr(pytorch_grad_cam, method)(nn.Linear(1, 1), [])
            for name, method in BY_GRADIENT.items()
        }
        self._eigen_cam = pytorch_grad_cam.EigenCAM(nn.Linear(1, 1), [])

    def explain(self, images: EvaluationImages, row: int, finding: str) -> Mapping[str, Map | None]:
        """Every method's map of one image for one finding.

        Args:
            images: which have the image's maps.
            row: of the image.
            finding: one of the checkpoint's outputs.

        Returns:
            Method -> float32 (g, g), >= 0, each in units of its own, in the frame of the
            network's input. None for the similarity evidence where no other patient's indexed
            case has the finding.
        """
        maps, index = images.maps[row], self._findings.index(finding)
        image = Features(images.embedding[[row]], images.logits[[row]], maps[None], self._head)
        weights = self._classifier[index]
        similar = _similar_with(self._candidates, images, row, finding)
        return {
            GRAD_CAM: self.grad_cam(images, row, finding),
            **{
                name: _by_gradient(method, maps, weights)
                for name, method in self._by_gradient.items()
            },
            EIGEN_CAM: _eigen_cam(self._eigen_cam, maps),
            EVIDENCE: _evidence(image, similar) if len(similar) else None,
            UNIFORM: np.ones(maps.shape[1:], np.float32),
            TYPICAL: self._candidates.mean_cams[index],
            CENTRED: centred(maps.shape[1]),
        }

    def grad_cam(self, images: EvaluationImages, row: int, finding: str) -> Map:
        """`xemplar.model.explain.grad_cam` of one image and finding, float32 (g, g), >= 0."""
        index = self._findings.index(finding)
        cam: Map = grad_cam(images.maps[row][None], self._classifier[[index]])[0, 0]
        return cam


def centred(cells: int) -> Map:
    """A Gaussian in the middle of the input, float32 (cells, cells), in (0, 1].

    Its sigma is a quarter of the side: so it covers the chest, and no particular part of it.
    """
    distance = (np.arange(cells) + 0.5) / cells - 0.5
    profile = np.exp(-(distance**2) / (2 * SIGMA**2))
    return np.outer(profile, profile).astype(np.float32)


def _by_gradient(method: Any, maps: Map, weights: npt.NDArray[np.float32]) -> Map:
    """A method of pytorch-grad-cam, given the gradient in closed form.

    The logit is w . (mean of R over the cells) + b, so its gradient at any cell of channel k is
    w_k / g^2.
    """
    gradient = np.broadcast_to((weights / maps[0].size)[:, None, None], maps.shape)
    cam = method.get_cam_image(None, None, None, maps[None], gradient[None], False)[0]
    rectified: Map = np.maximum(cam, 0, dtype=np.float32)
    return rectified


def _eigen_cam(method: Any, maps: Map) -> Map:
    """EigenCAM: the maps projected on their first principal component; it knows no finding.

    The library decomposes a matrix of cells x channels, and for that fills a square matrix of
    all channels: 0.15 s an image. Where channels abound, the triangular factor of the centred
    matrix has the same principal components in g^2 channels: 5 ms, and the same map, sign
    included.
    """
    few, cells = maps[None], maps[0].size
    if len(maps) > cells:
        flat = maps.reshape(len(maps), cells)
        _, factor = np.linalg.qr(flat - flat.mean(axis=1, keepdims=True))
        few = factor.reshape(1, cells, *maps.shape[1:])
    cam: Map = np.maximum(method.get_cam_image(None, None, None, few, None, False)[0], 0)
    return cam


def _similar_with(
    candidates: Candidates, images: EvaluationImages, row: int, finding: str
) -> npt.NDArray[np.float32]:
    """Returns embeddings (n, C) of the most similar cases with the finding, at most `NEIGHBOURS`.

    Cases of the same patient and the image itself are left out.
    """
    present = np.array([case.labels.get(finding) == 1 for case in candidates.cases], np.bool_)
    found, _ = nearest(images, candidates, row, NEIGHBOURS, present)
    return candidates.embedding[found]


def _evidence(image: Features, similar: npt.NDArray[np.float32]) -> Map:
    """Averages the positive evidence of similarity with these cases, float32 (g, g)."""
    evidence = [similarity_evidence(image, embedding) for embedding in similar]
    mean: Map = np.mean(evidence, axis=0, dtype=np.float32)
    return np.maximum(mean, 0)
