"""Stages of a query: decoding, encoding, validation, search, Grad-CAM, and the `Answer`."""

import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from xemplar.catalog import case_id_of
from xemplar.errors import Doubt, InputError, InvalidArgument, NotARadiograph, NotFound
from xemplar.imaging import DISPLAY_SIDE, Radiograph
from xemplar.imaging.burnt_in_text import text_boxes
from xemplar.imaging.overlay import shrink
from xemplar.imaging.preprocess import covered, preprocess
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.densenet import Features
from xemplar.model.encoder import BATCH
from xemplar.model.explain import grad_cam
from xemplar.retrieval.choice import Found
from xemplar.retrieval.result import (
    Answer,
    Neighbour,
    Pixels,
    Prediction,
    QuestionImage,
    Stopwatch,
)
from xemplar.retrieval.selection import Scope
from xemplar.retrieval.snapshot import Snapshot
from xemplar.retrieval.steering import Target
from xemplar.views import FRONTAL

BATCH_SECONDS = 60
"""Time limit for decoding the images of one request, so that other requests get their turn."""

BURNT_IN_TEXT = "text seems to be burnt into the picture; look whether it names the patient"
"""Warning about text that the pixels show."""

DECODERS = 4
"""Images of a request that are decoded concurrently, each in memory at its full size."""


Decode = Callable[[bytes], Radiograph]


@dataclass(frozen=True, eq=False)
class Query:
    """An image to search for.

    Attributes:
        image_id: case id that the image has, or would have.
        pixels: of the image; None if they were forgotten.
        warnings: doubts about the image, as messages.
        doubts: kinds of those for which there is a remedy.
        size_mm: (height, width) of the image in millimetres; None if unknown.
        watch: time spent so far, by stage.
    """

    image_id: str
    pixels: Pixels | None
    warnings: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    size_mm: tuple[float, float] | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)


@dataclass(frozen=True, eq=False)
class NewQuery(Query):
    """A preprocessed image, to be encoded.

    Attributes:
        pixels: of the image.
        indexed: True for the image of a case, which is neither validated nor searched for text.
    """

    pixels: Pixels
    indexed: bool = False


@dataclass(frozen=True, eq=False)
class Question:
    """A search bound to the snapshot that answers it, even if `Retriever.refresh` replaces that.

    Attributes:
        live: the snapshot.
        scope: the cases to search.
        explained: position of the finding to explain; None for the first of `Checkpoint.order`.
        others: images beside the one that is asked with.
    """

    live: Snapshot
    scope: Scope
    explained: int | None
    others: tuple[QuestionImage, ...] = ()


def read(data: bytes, decode: Decode, live: Snapshot) -> NewQuery:
    """Decode and preprocess an image's file.

    Raises:
        InputError: the image cannot be used.
    """
    watch = Stopwatch()
    radiograph = decode(data)
    watch.stage("decode")
    image, doubts = shrink(radiograph.pixels, DISPLAY_SIDE), header_doubts(radiograph)
    inputs = preprocess(radiograph, live.checkpoint.card.spec)
    watch.stage("preprocess")
    pixels = Pixels(image, inputs, radiograph.deep)
    about = radiograph.warnings, doubts, radiograph.size_mm
    return NewQuery(case_id_of(radiograph.sha256), pixels, *about, watch)


def header_doubts(radiograph: Radiograph) -> tuple[Doubt, ...]:
    """Kinds of the warnings that a DICOM header gave rise to."""
    doubts: dict[Doubt, bool] = {
        "not_frontal": radiograph.view is not None and radiograph.view not in FRONTAL,
        "other_part": radiograph.body_part is not None,
        "text": radiograph.burned_in,
    }
    return tuple(kind for kind, is_so in doubts.items() if is_so)


def read_all(files: Sequence[bytes], decode: Decode, live: Snapshot) -> list[NewQuery | InputError]:
    """Decode and preprocess several files in threads; each yields a query or its error."""
    until = time.monotonic() + BATCH_SECONDS

    def read_in_time(data: bytes) -> NewQuery | InputError:
        if time.monotonic() > until:
            return InvalidArgument(
                "this image was not processed: the images before it took the limit of "
                f"{BATCH_SECONDS} seconds for one request; send it in another one"
            )
        try:
            return read(data, decode, live)
        except InputError as refusal:
            return refusal

    with ThreadPoolExecutor(DECODERS) as threads:
        return list(threads.map(read_in_time, files))


def answers(queries: Sequence[NewQuery], question: Question) -> list[Answer | NotARadiograph]:
    """Encode queries in batches and answer each one, or say why it is no radiograph."""
    found: list[Answer | NotARadiograph] = []
    for start in range(0, len(queries), BATCH):
        batch = queries[start : start + BATCH]
        began = time.perf_counter()
        features = question.live.encoder.encode(np.stack([query.pixels.inputs for query in batch]))
        share = (time.perf_counter() - began) * 1000 / len(batch)
        for number, query in enumerate(batch):
            try:
                found.append(_validated(query, features.one(number), question, share))
            except NotARadiograph as refusal:
                found.append(refusal)
    return found


def _validated(query: NewQuery, features: Features, question: Question, encoding: float) -> Answer:
    """Validate one query, which took ``encoding`` milliseconds to encode, and answer it.

    Raises:
        NotARadiograph: the input validator rejects the image; a case's image is not validated.
    """
    if query.indexed:
        query.watch.add("encode", encoding)
        return answer_of(query, features, question)
    began = time.perf_counter()
    verdict = question.live.judge(query.pixels.inputs, features)
    warnings = query.warnings + verdict.require_accepted()
    query = replace(query, warnings=warnings, doubts=query.doubts + verdict.doubts)
    query.watch.add("encode", encoding + (time.perf_counter() - began) * 1000)
    if "text" in query.doubts:  # its header says so
        return answer_of(query, features, question)
    # in a thread beside the search, which keeps one processor busy; the network takes them all
    with ThreadPoolExecutor(1) as thread:
        text = thread.submit(text_boxes, query.pixels.image)
        answer = answer_of(query, features, question)
        found = text.result()
    query.watch.stage("text")
    return replace(
        answer,
        pixels=replace(query.pixels, text=found),
        warnings=(*query.warnings, BURNT_IN_TEXT) if found else query.warnings,
        doubts=(*query.doubts, "text") if found else query.doubts,
    )


def answer_of(query: Query, features: Features, question: Question) -> Answer:
    """Search the cases similar to one image and explain the result.

    Args:
        query: the image.
        features: its features (N = 1).
        question: the search.

    Raises:
        DatabaseUnreachable: the catalog does not answer.
        InvalidArgument: images, region and marked cases leave no direction to search in.
        NotFound: the search names a region, and the image's pixels were forgotten.
    """
    live, scope = question.live, question.scope
    checkpoint = live.checkpoint
    probabilities = checkpoint.probabilities(features.logits[0])
    explained = question.explained
    if explained is None:
        explained = checkpoint.order(probabilities)[0]
    finding = checkpoint.card.findings[explained]
    target = scope.target(features, _region(query, features, question))
    pixels = query.pixels
    if pixels is not None:
        scope.images.put(query.image_id, pixels.inputs)
    similar = scope.neighbours(target)
    contrary = scope.counter_examples(target, finding, similar.cases)
    # pixels are forgotten only if they were no case's when the query was asked
    archived = None if pixels is None else scope.archived(target, pixels.inputs, similar)
    query.watch.stage("search")
    cams = grad_cam(features.maps, checkpoint.weights["classifier.weight"])[0]
    query.watch.stage("explain")
    usual = scope.usual(target)
    neighbours = _neighbours(question, target, similar.cases, explained, usual)
    counter_examples = _neighbours(question, target, contrary.cases, explained, usual)
    query.watch.stage("describe")
    return Answer(
        query_id=secrets.token_hex(8),
        image_id=query.image_id,
        checkpoint=checkpoint.digest,
        generation=live.generation.name,
        pixels=pixels,
        archived_as=None if archived is None else archived.case_id,
        features=features,
        cams=cams,
        predictions=predictions(checkpoint, probabilities),
        population=checkpoint.card.population,
        explained=finding,
        others=question.others,
        neighbours=neighbours,
        counter_examples=counter_examples,
        similarity_calibration=live.generation.manifest.calibration,
        prevalence=scope.prevalence(similar.cases, archived),
        matched=scope.matched,
        recall_at_10=similar.recall_at_10,
        words=scope.words,
        warnings=query.warnings,
        doubts=query.doubts,
        size_mm=query.size_mm,
        timings_ms=query.watch.timings_ms,
    )


def predictions(
    checkpoint: Checkpoint, probabilities: npt.NDArray[np.float32]
) -> tuple[Prediction, ...]:
    """Describe one image's probabilities (F,), in the order of `Checkpoint.order`."""
    lifts = checkpoint.lifts(probabilities)
    found = []
    for index in checkpoint.order(probabilities):
        calibration = checkpoint.card.calibration[index]
        found.append(
            Prediction(
                finding=checkpoint.card.findings[index],
                probability=float(probabilities[index]),
                base_rate=calibration.base_rate,
                lift=None if calibration.base_rate is None else float(lifts[index]),
                threshold=calibration.threshold,
                called=checkpoint.called(probabilities, index),
            )
        )
    return tuple(found)


def _region(query: Query, features: Features, question: Question) -> npt.NDArray[np.float64] | None:
    """Compute the share of each spatial location that the search's region covers, (g, g)."""
    box, spec = question.scope.search.box, question.live.checkpoint.card.spec
    if box is None:
        return None
    if query.pixels is None:
        raise NotFound("the image's size was forgotten; send the image again to search by a region")
    height, width = query.pixels.image.shape
    return covered(box, spec, height, width, features.maps.shape[-1])


def _neighbours(
    question: Question,
    target: Target,
    found: Sequence[Found],
    explained: int,
    usual: npt.NDArray[np.float64],
) -> tuple[Neighbour, ...]:
    """Describe the cases found, ``usual`` being the ascending cosines of a sample of all cases."""
    live = question.live
    calibration = live.generation.manifest.calibration
    scope = question.scope
    more = scope.more_of_patient([one.case for one in found])
    reports = scope.reports_of([one.case for one in found])
    neighbours = []
    for rank, one in enumerate(found, start=1):
        logits = live.generation.logits(one.case.id)
        probabilities = live.checkpoint.probabilities(logits)
        neighbours.append(
            Neighbour(
                rank=rank,
                case=one.case,
                similarity=one.similarity,
                probability=float(probabilities[explained]),
                called=live.checkpoint.called(probabilities, explained),
                chance=None if calibration is None else calibration.chance_of(one.similarity),
                steering=target.steering(live.generation.vector(one.case.id), one.score),
                fused=one.fused,
                report=reports.get(one.case.id),
                marks=scope.marks(reports.get(one.case.id)),
                closer_than=float(np.searchsorted(usual, one.similarity)) / len(usual),
                more_of_patient=more.get(one.case.case_id, ()),
            )
        )
    return tuple(neighbours)
