"""Steers a search: by further images, to a region, towards some cases and away from others.

No forward pass: the search vector follows from the image's features and from embeddings.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xemplar.errors import InvalidArgument
from xemplar.model.densenet import Features
from xemplar.model.explain import region_embedding

LIKE, UNLIKE = 0.75, 0.25
"""Weights of Rocchio's relevance feedback for marked cases, where the image has 1.

Smaller for unwanted cases, as usual: what is wanted gathers in one place, what is not is scattered.
"""

Vector = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Steering:
    """Score of a case in a steered search, and its parts, which add up to it.

    Attributes:
        score: cosine of the search vector and the case's embedding, in [-1, 1].
        image: part of the image, or of its region; of all images of the question together.
        like: part of the cases marked as wanted.
        unlike: part of the cases marked as unwanted.
        images: part of each image of the question, which add up to `image`; empty for one image.
    """

    score: float
    image: float
    like: float
    unlike: float
    images: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Target:
    """The vector that a search compares cases with.

    Attributes:
        image: float32 (D,), embedding of the image, unit length.
        vector: float32 (D,), search vector, unit length; the embedding unless it is steered.
        parts: float64 (images + 2, D), those of each image, of wanted and of unwanted cases, which
            add up to the search vector; None unless it is steered.
    """

    image: Vector
    vector: Vector
    parts: npt.NDArray[np.float64] | None = None

    def similarity(self, case: Vector) -> float:
        """Return the cosine of the image and a case, given the case's embedding, float32 (D,)."""
        return float(np.clip(self.image.astype(np.float64) @ case, -1, 1))

    def steering(self, case: Vector, score: float) -> Steering | None:
        """Decompose the score of a case with this embedding, (D,); None unless steered."""
        if self.parts is None:
            return None
        *images, like, unlike = (float(part) for part in self.parts @ case)
        each = tuple(images) if len(images) > 1 else ()
        return Steering(score, sum(images), like, unlike, each)


def target_of(
    features: Features,
    region: npt.NDArray[np.float64] | None,
    like: Vectors,
    unlike: Vectors,
    others: Vectors = np.empty((0, 0), np.float32),
) -> Target:
    """Compute the search vector of a question.

    With b the embedding of the image or of its region, and means of the cases' embeddings, it is
    b + LIKE mean(like) - UNLIKE mean(unlike) at unit length (Rocchio, Relevance feedback in
    information retrieval, in Salton (ed.), The SMART Retrieval System, 1971).

    With several images b is the mean of their embeddings at unit length, each image with the same
    weight (Joint-Avg of Arandjelovic and Zisserman, Multiple queries for large scale specific
    object retrieval, BMVC 2012). Wanted cases are judgements of an answer: however many, they weigh
    `LIKE` beside the question's 1. Images of the question share this 1.

    Args:
        features: of the image (N = 1).
        region: share of each spatial location that belongs to the region, (g, g); None for the
            whole image.
        like: embeddings of cases to move towards, float32 (n, D).
        unlike: embeddings of cases to move away from, float32 (n, D).
        others: embeddings of the question's other images, float32 (n, D), unit length.

    Raises:
        InvalidArgument: images, region or marks leave no direction to search in.
    """
    image = features.embedding[0]
    if region is None and not len(like) and not len(unlike) and not len(others):
        return Target(image, image)
    base = image if region is None else region_embedding(features, region)
    images = np.stack([base, *others]).astype(np.float64)
    if len(others):
        images = _unit(images, "the images of the question cancel out; take one of them out")
    size = len(image)
    parts = _unit(
        np.stack([*images, LIKE * _mean(like, size), -UNLIKE * _mean(unlike, size)]),
        "region and marked cases leave nothing to search for; mark other cases, or a larger region",
    )
    return Target(image, parts.sum(axis=0).astype(np.float32), parts)


def _unit(parts: npt.NDArray[np.float64], otherwise: str) -> npt.NDArray[np.float64]:
    """Scale vectors (n, D) by one factor, so that their sum has unit length.

    Raises:
        InvalidArgument: they add up to nothing; its message is ``otherwise``.
    """
    length = np.linalg.norm(parts.sum(axis=0))
    if length < np.sqrt(np.finfo(np.float32).eps):
        raise InvalidArgument(otherwise)
    return parts / length


def _mean(vectors: Vectors, size: int) -> npt.NDArray[np.float64]:
    if not len(vectors):
        return np.zeros(size)
    mean: npt.NDArray[np.float64] = vectors.mean(axis=0, dtype=np.float64)
    return mean
