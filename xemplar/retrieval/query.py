"""From what the network made of an image to its `Answer`: search, Grad-CAM, what each case is."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from xemplar.model.checkpoint import Checkpoint
from xemplar.model.densenet import Features
from xemplar.model.explain import grad_cam
from xemplar.retrieval.result import Answer, Neighbour, Prediction, Stopwatch
from xemplar.retrieval.selection import Found, Scope
from xemplar.retrieval.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class Query:
    """An image on its way.

    Attributes:
        image_id: who it is, as a case's id.
        image: display copy.
        inputs: of the network, uint8 (s, s).
        warnings: what speaks against it.
        watch: the time it took so far.
        indexed: whether it is a case's, which is not judged again.
    """

    image_id: str
    image: npt.NDArray[np.uint8]
    inputs: npt.NDArray[np.uint8]
    warnings: tuple[str, ...] = ()
    watch: Stopwatch = field(default_factory=Stopwatch)
    indexed: bool = False


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked, bound to what answers it: `Retriever.refresh` may come between.

    Attributes:
        live: what answers.
        scope: where to look.
        explained: place of the finding to explain; None for the most probable.
    """

    live: Snapshot
    scope: Scope
    explained: int | None


def answer_of(query: Query, features: Features, question: Question) -> Answer:
    """Find the cases for one image, and say of them what its question wants to know.

    Args:
        query: the image.
        features: what the network made of it (N = 1).
        question: what is asked of it.

    Raises:
        DatabaseUnreachable: the catalog does not answer.
    """
    live, scope, vector = question.live, question.scope, features.embedding[0]
    checkpoint = live.checkpoint
    probabilities = checkpoint.probabilities(features.logits[0])
    explained = int(probabilities.argmax()) if question.explained is None else question.explained
    finding = checkpoint.card.findings[explained]
    similar = scope.neighbours(vector)
    contrary = scope.counter_examples(vector, finding)
    archived = scope.archived(vector, query.inputs, similar)
    query.watch.stage("search")
    cams = grad_cam(features.maps, checkpoint.weights["classifier.weight"])[0]
    query.watch.stage("explain")
    neighbours = _neighbours(live, similar, explained)
    counter_examples = _neighbours(live, contrary, explained)
    query.watch.stage("describe")
    return Answer(
        query_id=secrets.token_hex(8),
        image_id=query.image_id,
        checkpoint=checkpoint.digest,
        generation=live.generation.name,
        image=query.image,
        inputs=query.inputs,
        archived_as=None if archived is None else archived.case_id,
        features=features,
        cams=cams,
        predictions=_predictions(checkpoint, probabilities),
        explained=finding,
        neighbours=neighbours,
        counter_examples=counter_examples,
        matched=scope.matched,
        warnings=query.warnings,
        timings_ms=query.watch.timings_ms,
    )


def _predictions(
    checkpoint: Checkpoint, probabilities: npt.NDArray[np.float32]
) -> tuple[Prediction, ...]:
    present = probabilities >= checkpoint.thresholds
    return tuple(
        Prediction(
            checkpoint.card.findings[place], float(probabilities[place]), bool(present[place])
        )
        for place in np.argsort(-probabilities, kind="stable")
    )


def _neighbours(live: Snapshot, found: Sequence[Found], explained: int) -> tuple[Neighbour, ...]:
    calibration = live.generation.manifest.calibration
    threshold = live.checkpoint.thresholds[explained]
    neighbours = []
    for rank, one in enumerate(found, start=1):
        logits = live.generation.logits(one.case.id)
        probability = float(live.checkpoint.probabilities(logits)[explained])
        neighbours.append(
            Neighbour(
                rank=rank,
                case=one.case,
                similarity=one.similarity,
                probability=probability,
                present=bool(probability >= threshold),
                chance=None if calibration is None else calibration.chance_of(one.similarity),
            )
        )
    return tuple(neighbours)
