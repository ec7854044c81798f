"""Why: Grad-CAM for every finding, and where a similarity comes from. No second forward pass.

Let R (C, g, g) be the rectified maps of a film, G = mean of R over the g * g places, and
logit_f = w_f . G + b_f. Both explanations follow from these in closed form.
"""

import numpy as np
import numpy.typing as npt

from xemplar.errors import InvalidArgument
from xemplar.network import Features


def grad_cam(features: Features, classifier: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Grad-CAM (Selvaraju et al., ICCV 2017) at the last layer, for all findings of N films.

    The gradient of logit f at place p of the unrectified map k is w_fk / g^2 where R_k(p) > 0 and
    0 elsewhere; its mean over the places is alpha_fk = w_fk / g^2 * (share of places with R_k > 0);
    the map is relu(sum over k of alpha_fk R_k).

    Args:
        features: of N films.
        classifier: float32 (F, C), the weights of the linear layer.

    Returns:
        float32 (N, F, g, g), >= 0, in units of logit per place, in the frame of the network's
        input. Not stretched: a map near 0 everywhere says that nothing speaks for the finding.

    Raises:
        InvalidArgument: the classifier has another number of channels than the maps.
    """
    maps = features.maps
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


def similarity_evidence(
    maps: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """What each place of a film contributes to its similarity with another film.

    cos(q, r) = sum over places p of R_q(p) . e_r / (g^2 * |G_q|), where e_r is the unit embedding
    of the other film: every summand is >= 0, and they add up to the similarity exactly.

    Args:
        maps: float32 (C, g, g), the film's own rectified maps.
        other: float32 (C,), the other film's embedding, a unit vector.

    Returns:
        float32 (g, g), >= 0, whose sum is the cosine similarity, in the frame of the film's input.

    Raises:
        InvalidArgument: the shapes do not fit.
    """
    if maps.ndim != 3 or other.shape != maps.shape[:1]:
        raise InvalidArgument(
            f"maps of shape {maps.shape} and an embedding of shape {other.shape} do not fit; "
            "they must be (C, g, g) and (C,)"
        )
    # in float64, where the squares of the smallest float32 values do not vanish
    length = np.linalg.norm(maps.mean(axis=(1, 2)).astype(np.float64))
    places = maps.shape[1] * maps.shape[2]
    share = other / max(places * length, np.finfo(np.float64).tiny)
    evidence: npt.NDArray[np.float32] = np.tensordot(share, maps, axes=1).astype(np.float32)
    return evidence


def matching_places(
    maps: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """What each pair of places, one of a film and one of another, contributes to their similarity.

    cos(q, r) = sum over places p and s of R_q(p) . R_r(s) / (g^4 * |G_q| * |G_r|). Summed over the
    other film's places it is `similarity_evidence` of the film, and the other way round.

    Args:
        maps: float32 (C, g, g), a film's rectified maps.
        other: float32 (C, g, g), another film's.

    Returns:
        float32 (g * g, g * g), >= 0, whose sum is the cosine similarity; rows are places of the
        film, columns places of the other, both row by row in the frame of the film's input.

    Raises:
        InvalidArgument: the shapes do not fit.
    """
    if maps.ndim != 3 or maps.shape != other.shape:
        raise InvalidArgument(
            f"maps of shapes {maps.shape} and {other.shape} do not fit; both must be (C, g, g)"
        )
    film, another = (m.reshape(len(m), -1).astype(np.float64) for m in (maps, other))
    lengths = np.linalg.norm(film.sum(axis=1)) * np.linalg.norm(another.sum(axis=1))
    shares = film.T @ another / max(lengths, np.finfo(np.float64).tiny)
    return np.asarray(shares, np.float32)
