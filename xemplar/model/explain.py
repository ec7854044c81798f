"""Why: Grad-CAM for every finding, and where a similarity comes from. No second forward pass.

Let R (C, g, g) be the rectified maps of an image, G = mean of R over the g * g places, and
logit_f = w_f . G + b_f. Both explanations follow from these in closed form.
"""

import numpy as np
import numpy.typing as npt

from xemplar.errors import InvalidArgument
from xemplar.model.densenet import Features


def grad_cam(
    maps: npt.NDArray[np.float32], classifier: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Grad-CAM (Selvaraju et al., ICCV 2017) at the last layer, for all findings of N images.

    The gradient of logit f at place p of the unrectified map k is w_fk / g^2 where R_k(p) > 0 and
    0 elsewhere; its mean over the places is alpha_fk = w_fk / g^2 * (share of places with R_k > 0);
    the map is relu(sum over k of alpha_fk R_k).

    Args:
        maps: float32 (N, C, g, g), rectified, as in `Features`.
        classifier: float32 (F, C), the weights of the linear layer.

    Returns:
        float32 (N, F, g, g), >= 0, in units of logit per place, in the frame of the network's
        input. Not stretched: a map near 0 everywhere says that nothing speaks for the finding.

    Raises:
        InvalidArgument: the classifier has another number of channels than the maps.
    """
    count, channels, rows, columns = maps.shape
    if classifier.ndim != 2 or classifier.shape[1] != channels:
        raise InvalidArgument(
            f"a classifier of shape {classifier.shape} does not fit maps with {channels} channels"
        )
    places = rows * columns
    active = np.count_nonzero(maps, axis=(2, 3)).astype(np.float32) / places
    alpha = classifier[None] * (active / places)[:, None, :]
    cams: npt.NDArray[np.float32] = np.maximum(
        alpha @ maps.reshape(count, channels, places), 0, dtype=np.float32
    )
    return cams.reshape((count, len(classifier), rows, columns))


def similarity_evidence(image: Features, other: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What each place of an image adds to its similarity with another image, or takes from it.

    With M(p) what usual images show at place p (`xemplar.model.densenet.MEAN`), D = W(R - M), W the
    projection if there is one (`xemplar.model.densenet.PROJECTION`), and e_r the other image's unit
    embedding, cos(q, r) = sum over places p of D_q(p) . e_r / |sum of D_q|. A
    place counts for the similarity (> 0) where it departs from what is usual there as the other
    image does, and against it (< 0) where it departs otherwise. All summands add up to the
    similarity exactly.

    Args:
        image: of one image (N = 1).
        other: float32 (D,), the other image's embedding, a unit vector.

    Returns:
        float32 (g, g), whose sum is the cosine similarity, in the frame of the image's input.

    Raises:
        InvalidArgument: the shapes do not fit.
    """
    if other.shape != (image.space.dimension,):
        raise InvalidArgument(
            f"an embedding of shape {other.shape} does not fit this image's network; it must be "
            f"({image.space.dimension},)"
        )
    # the other image's embedding is taken to the channels, which is cheaper than each place to its
    shares = _centred_features(image) @ image.space.unproject(other)
    evidence: npt.NDArray[np.float32] = shares.reshape(image.maps.shape[2:]).astype(np.float32)
    return evidence


def matching_places(image: Features, other: Features) -> npt.NDArray[np.float32]:
    """What each pair of places, one of an image and one of another, adds to their similarity.

    With D as there, cos(q, r) = sum over places p and s of D_q(p) . D_r(s) / (|sum D_q| |sum D_r|).
    Summed over the other image's places it is `similarity_evidence` of the image, and the other way
    round.

    Args:
        image: of one image (N = 1).
        other: of another one, by the same network.

    Returns:
        float32 (g * g, g * g), whose sum is the cosine similarity; rows are places of the image,
        columns places of the other, both row by row in the frame of the image's input.

    Raises:
        InvalidArgument: the shapes do not fit.
    """
    if image.maps.shape != other.maps.shape:
        raise InvalidArgument(
            f"maps of shapes {image.maps.shape} and {other.maps.shape} do not fit; both must be "
            "(1, C, g, g)"
        )
    ours, theirs = (one.space.project(_centred_features(one)) for one in (image, other))
    return (ours @ theirs.T).astype(np.float32)


def _centred_features(image: Features) -> npt.NDArray[np.float64]:
    """How each place departs from what is usual there, (g * g, C).

    Their sum, projected, is the embedding.

    Raises:
        InvalidArgument: it is more than one image.
    """
    if len(image.maps) != 1:
        raise InvalidArgument(
            f"evidence is drawn for one image at a time, not for {len(image.maps)}; take "
            "Features.one(place)"
        )
    # in float64, as the embedding is
    space = image.space
    apart = (image.maps[0].astype(np.float64) - space.mean).reshape(len(space.mean), -1).T
    length = np.linalg.norm(space.project(apart.sum(axis=0)))
    # an image without an embedding (its length is 0) has no evidence either
    departures: npt.NDArray[np.float64] = apart / length if length > 0 else 0 * apart
    return departures
