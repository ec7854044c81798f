"""Explanations: Grad-CAM for every finding, and similarity evidence. No second forward pass.

Let R (C, g, g) be the rectified maps of an image, G the mean of R over the g * g spatial locations,
and logit_f = w_f . G + b_f. Both explanations follow from these in closed form.
"""

import numpy as np
import numpy.typing as npt

from xemplar.errors import InvalidArgument
from xemplar.model.densenet import Features

STRONG_SHARE, STRONG_MATCH = 0.07, 0.007
"""Share of the similarity, of one location and of one pair of locations, that is shown in the
brightest colour: what about one location in thirty exceeds of those that matter most in 60 pairs of
`nih14`, and half of the pairs' best matches; see docs/decisions/0046."""


def grad_cam(
    maps: npt.NDArray[np.float32], classifier: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Compute Grad-CAM (Selvaraju et al., ICCV 2017) at the last layer, all findings of N images.

    The gradient of logit f at any location of the rectified map k is w_fk / g^2, and so is its
    mean over locations, alpha_fk; the map is relu(sum over k of alpha_fk R_k). Before it is
    rectified, its sum over locations is the logit without its bias. It is the class activation map
    (Zhou et al., CVPR 2016), and HiResCAM (Draelos & Carin, 2020), too.

    Args:
        maps: float32 (N, C, g, g), rectified, as in `Features`.
        classifier: float32 (F, C), weights of the linear layer.

    Returns:
        float32 (N, F, g, g), >= 0, in units of logit per location, in the frame of the network's
        input. Not rescaled: a map near 0 everywhere means that nothing supports the finding.

    Raises:
        InvalidArgument: classifier and maps differ in their number of channels.
    """
    count, channels, rows, columns = maps.shape
    if classifier.ndim != 2 or classifier.shape[1] != channels:
        raise InvalidArgument(
            f"a classifier of shape {classifier.shape} does not fit maps with {channels} channels"
        )
    locations = rows * columns
    alpha = classifier / np.float32(locations)
    cams: npt.NDArray[np.float32] = np.maximum(
        alpha @ maps.reshape(count, channels, locations), 0, dtype=np.float32
    )
    return cams.reshape((count, len(classifier), rows, columns))


def similarity_evidence(image: Features, other: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Decompose the similarity of two images over the spatial locations of the first.

    With M(p) the mean activation at location p (`xemplar.model.densenet.MEAN`), D = W(R - M) the
    centred features, W the projection, if any (`xemplar.model.densenet.PROJECTION`), and e_r the
    other image's unit embedding, cos(q, r) = sum over locations p of D_q(p) . e_r / |sum of D_q|.
    A location supports the similarity (> 0) where its centred features point along the other
    image's embedding, and opposes it (< 0) where they point away. The terms add up to the
    similarity exactly.

    Args:
        image: features of one image (N = 1).
        other: float32 (D,), the other image's embedding, a unit vector.

    Returns:
        float32 (g, g) whose sum is the cosine similarity, in the frame of the image's input.

    Raises:
        InvalidArgument: the shapes do not fit.
    """
    if other.shape != (image.head.dimension,):
        raise InvalidArgument(
            f"an embedding of shape {other.shape} does not fit this image's network; it must be "
            f"({image.head.dimension},)"
        )
    # unprojecting the other embedding is cheaper than projecting every location
    shares = _centred_features(image) @ image.head.unproject(other)
    evidence: npt.NDArray[np.float32] = shares.reshape(image.maps.shape[2:]).astype(np.float32)
    return evidence


def matching_locations(image: Features, other: Features) -> npt.NDArray[np.float32]:
    """Decompose the similarity of two images over pairs of their spatial locations.

    With D as in `similarity_evidence`, cos(q, r) = sum over locations p and s of
    D_q(p) . D_r(s) / (|sum of D_q| |sum of D_r|). Summed over the locations of either image, it is
    the `similarity_evidence` of the other.

    Args:
        image: features of one image (N = 1).
        other: features of another image by the same network.

    Returns:
        float32 (g * g, g * g) whose sum is the cosine similarity; rows are locations of the image,
        columns locations of the other, both in row-major order in the frame of the input.

    Raises:
        InvalidArgument: the shapes do not fit.
    """
    if image.maps.shape != other.maps.shape:
        raise InvalidArgument(
            f"maps of shapes {image.maps.shape} and {other.maps.shape} do not fit; both must be "
            "(1, C, g, g)"
        )
    ours, theirs = (one.head.project(_centred_features(one)) for one in (image, other))
    return (ours @ theirs.T).astype(np.float32)


def region_embedding(image: Features, region: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Compute the embedding of a region: its locations' share of the image's, at unit length.

    Args:
        image: features of one image (N = 1).
        region: share of each spatial location that belongs to the region, float (g, g), 0 to 1.

    Returns:
        float64 (D,); zeros if the region has no features. Of the whole image, its embedding.

    Raises:
        InvalidArgument: the shapes do not fit.
    """
    if region.shape != image.maps.shape[2:]:
        raise InvalidArgument(
            f"a region of shape {region.shape} does not fit maps of {image.maps.shape[2:]}"
        )
    found = image.head.project(region.ravel() @ _centred_features(image))
    length = np.linalg.norm(found)
    scaled: npt.NDArray[np.float64] = found / length if length > 0 else found
    return scaled


def _centred_features(image: Features) -> npt.NDArray[np.float64]:
    """Compute the centred features of each spatial location, (g * g, C), scaled to unit norm.

    Their sum, projected, is the embedding.

    Raises:
        InvalidArgument: more than one image.
    """
    if len(image.maps) != 1:
        raise InvalidArgument(
            f"evidence is computed for one image at a time, not for {len(image.maps)}; use "
            "Features.one(index)"
        )
    # float64, like the embedding
    head = image.head
    centred = (image.maps[0].astype(np.float64) - head.mean).reshape(len(head.mean), -1).T
    length = np.linalg.norm(head.project(centred.sum(axis=0)))
    # an image whose embedding has length 0 has no evidence
    scaled: npt.NDArray[np.float64] = centred / length if length > 0 else 0 * centred
    return scaled
