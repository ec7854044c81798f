"""Renders an answer as JPEG: radiographs, Grad-CAM overlays, similarity evidence; and its maps.

They are drawn when they are asked for: most are never looked at.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Case
from xemplar.data.findings import finding_index
from xemplar.imaging import DISPLAY_SIDE
from xemplar.imaging.overlay import jpeg, overlay, shrink
from xemplar.model.densenet import Features
from xemplar.model.explain import matching_locations, similarity_evidence
from xemplar.retrieval.result import Answer
from xemplar.retrieval.retriever import Retriever

Map: TypeAlias = npt.NDArray[np.float32]
"""float32 (g, g) in the frame of the network's input."""


def query_image(answer: Answer, side: int = DISPLAY_SIDE) -> bytes:
    """The query's display copy, its longer side at most ``side`` pixels."""
    return jpeg(shrink(answer.image, side))


def case_image(retriever: Retriever, case: Case, side: int = DISPLAY_SIDE) -> bytes:
    """A case's display copy, its longer side at most ``side`` pixels."""
    if side >= DISPLAY_SIDE:
        return retriever.media.display_bytes(case.image_sha256)
    return jpeg(shrink(retriever.media.display(case.image_sha256), side))


def query_map(retriever: Retriever, answer: Answer, finding: str | None = None) -> Map | None:
    """The query's Grad-CAM for a finding (None: the explained one), see `xemplar.model.explain`.

    None below the finding's threshold.
    """
    findings = retriever.checkpoint.card.findings
    place = finding_index(findings, finding or answer.explained)
    present = next(p.present for p in answer.predictions if p.finding == findings[place])
    return answer.cams[place] if present else None


def case_map(retriever: Retriever, case: Case, finding: str) -> Map | None:
    """A case's stored Grad-CAM for a finding. No network runs.

    None below the finding's threshold.
    """
    live = retriever.live
    checkpoint, generation = live.checkpoint, live.generation
    place = finding_index(checkpoint.card.findings, finding)
    probability = checkpoint.probabilities(generation.logits(case.id))[place]
    if probability < checkpoint.thresholds[place]:
        return None
    heatmap: Map = generation.cams(case.id)[place]
    return heatmap


def query_overlay(
    retriever: Retriever, answer: Answer, finding: str | None = None, side: int = 512
) -> bytes:
    """The query with its Grad-CAM for a finding (None: the explained one).

    Below the finding's threshold the image is shown without a map.
    """
    return _drawn(retriever, answer.image, query_map(retriever, answer, finding), side)


def case_overlay(retriever: Retriever, case: Case, finding: str, side: int = 512) -> bytes:
    """A case with its stored Grad-CAM for a finding. No network runs.

    Below the finding's threshold the image is shown without a map.
    """
    heatmap = case_map(retriever, case, finding)
    return _drawn(retriever, retriever.media.display(case.image_sha256), heatmap, side)


def query_evidence(retriever: Retriever, answer: Answer, case: Case, side: int = 512) -> bytes:
    """The query, showing which places make it similar to the case.

    Raises:
        NotFound: another checkpoint answers by now.
    """
    live = retriever.live
    live.check_gave(answer)
    heatmap = similarity_evidence(answer.features, live.generation.vector(case.id))
    return _drawn(retriever, answer.image, heatmap, side)


def case_evidence(retriever: Retriever, answer: Answer, case: Case, side: int = 512) -> bytes:
    """The case, showing which places make it similar to the query.

    Raises:
        NotFound: another checkpoint answers by now.
    """
    heatmap = similarity_evidence(_features(retriever, answer, case), answer.features.embedding[0])
    return _drawn(retriever, retriever.media.display(case.image_sha256), heatmap, side)


def matches(retriever: Retriever, answer: Answer, case: Case) -> npt.NDArray[np.float32]:
    """What each pair of places, one of the query and one of the case, adds to their similarity.

    Returns:
        float32 (g * g, g * g), see `xemplar.model.explain.matching_locations`.

    Raises:
        NotFound: another checkpoint answers by now.
    """
    return matching_locations(answer.features, _features(retriever, answer, case))


def overlays(retriever: Retriever, answer: Answer, side: int = 512) -> dict[str, bytes]:
    """The overlay of the query (key "query") and of each case in the answer (key: case id)."""
    drawn = {"query": query_overlay(retriever, answer, side=side)}
    for shown in (*answer.neighbours, *answer.counter_examples):
        if shown.case.case_id not in drawn:  # a neighbour may be a counter-example too
            overlaid = case_overlay(retriever, shown.case, answer.explained, side)
            drawn[shown.case.case_id] = overlaid
    return drawn


def maps(retriever: Retriever, answer: Answer) -> dict[str, Map | None]:
    """What `overlays` are drawn from, under the same keys; None below the threshold."""
    found = {"query": query_map(retriever, answer)}
    for shown in (*answer.neighbours, *answer.counter_examples):
        found[shown.case.case_id] = case_map(retriever, shown.case, answer.explained)
    return found


def _features(retriever: Retriever, answer: Answer, case: Case) -> Features:
    """A case's features, by the network that gave the answer.

    Its maps are not stored (326 kB a case): a forward pass over its stored input yields them again.
    """
    live = retriever.live
    live.check_gave(answer)
    inputs = retriever.media.input(case.image_sha256, live.checkpoint.card.spec)
    return live.encoder.encode(inputs[None])


def _drawn(
    retriever: Retriever,
    image: npt.NDArray[np.uint8],
    heatmap: npt.NDArray[np.float32] | None,
    side: int,
) -> bytes:
    if heatmap is None:
        return jpeg(shrink(image, side))
    return jpeg(overlay(image, heatmap, retriever.checkpoint.card.spec, side=side))
