"""Renders an answer as JPEG: radiographs, Grad-CAM overlays and similarity evidence.

Images are drawn on demand, as most are never viewed.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from xemplar.archive.media import Media
from xemplar.catalog import Case
from xemplar.data.findings import finding_index
from xemplar.imaging import DISPLAY_SIDE
from xemplar.imaging.overlay import jpeg, overlay, shrink
from xemplar.model.densenet import Features
from xemplar.model.explain import STRONG_SHARE, matching_locations, similarity_evidence
from xemplar.retrieval.result import Answer, ExplainedQuery
from xemplar.retrieval.snapshot import Snapshot

Map: TypeAlias = npt.NDArray[np.float32]
"""float32 (g, g) in the frame of the network's input."""

DRAWN_AT_ONCE = 2
"""Overlays of an answer that are drawn at once: three threads took longer than two."""


def query_image(answer: ExplainedQuery, side: int = DISPLAY_SIDE) -> bytes:
    """Render the query's display copy, its longer side at most ``side`` pixels."""
    return jpeg(shrink(answer.image, side))


def case_image(media: Media, case: Case, side: int = DISPLAY_SIDE) -> bytes:
    """Render a case's display copy, its longer side at most ``side`` pixels."""
    if side >= DISPLAY_SIDE:
        return media.display_bytes(case.image_sha256)
    return jpeg(shrink(media.display(case.image_sha256), side))


def query_map(live: Snapshot, answer: ExplainedQuery, finding: str | None = None) -> Map | None:
    """Return the query's Grad-CAM for a finding (None: the explained one).

    None unless the finding is called. See `xemplar.model.explain`.
    """
    findings = live.checkpoint.card.findings
    index = finding_index(findings, finding or answer.explained)
    called = next(p.called for p in answer.predictions if p.finding == findings[index])
    return answer.cams[index] if called else None


def case_map(live: Snapshot, case: Case, finding: str) -> Map | None:
    """Return a case's stored Grad-CAM for a finding; the network does not run.

    None unless the finding is called.
    """
    checkpoint, generation = live.checkpoint, live.generation
    index = finding_index(checkpoint.card.findings, finding)
    if not checkpoint.called(checkpoint.probabilities(generation.logits(case.id)), index):
        return None
    heatmap: Map = generation.cams(case.id)[index]
    return heatmap


def strong(live: Snapshot, finding: str) -> float:
    """Return the value of a finding's Grad-CAM that is drawn in the brightest colour."""
    card = live.checkpoint.card
    return card.calibration[finding_index(card.findings, finding)].strong


def query_overlay(
    live: Snapshot, answer: ExplainedQuery, finding: str | None = None, side: int = 512
) -> bytes:
    """Render the query with its Grad-CAM for a finding (None: the explained one).

    Unless the finding is called, the image is rendered without a map.
    """
    heatmap = query_map(live, answer, finding)
    return _drawn(live, answer.image, heatmap, side, strong(live, finding or answer.explained))


def case_overlay(live: Snapshot, media: Media, case: Case, finding: str, side: int = 512) -> bytes:
    """Render a case with its stored Grad-CAM for a finding; the network does not run.

    Unless the finding is called, the image is rendered without a map.
    """
    heatmap = case_map(live, case, finding)
    return _drawn(live, media.display(case.image_sha256), heatmap, side, strong(live, finding))


def query_evidence(live: Snapshot, answer: ExplainedQuery, case: Case, side: int = 512) -> bytes:
    """Render the query with the spatial locations that make it similar to the case.

    Raises:
        NotFound: another checkpoint is live now.
    """
    live.check_gave(answer)
    heatmap = similarity_evidence(answer.features, live.generation.vector(case.id))
    return _drawn(live, answer.image, heatmap, side, STRONG_SHARE)


def case_evidence(
    live: Snapshot, media: Media, answer: ExplainedQuery, case: Case, side: int = 512
) -> bytes:
    """Render the case with the spatial locations that make it similar to the query.

    Raises:
        NotFound: another checkpoint is live now.
    """
    features = _features(live, media, answer, case)
    heatmap = similarity_evidence(features, answer.features.embedding[0])
    return _drawn(live, media.display(case.image_sha256), heatmap, side, STRONG_SHARE)


def matches(
    live: Snapshot, media: Media, answer: ExplainedQuery, case: Case
) -> npt.NDArray[np.float32]:
    """Split the similarity into shares of each pair of spatial locations of query and case.

    Returns:
        float32 (g * g, g * g), see `xemplar.model.explain.matching_locations`.

    Raises:
        NotFound: another checkpoint is live now.
    """
    return matching_locations(answer.features, _features(live, media, answer, case))


def overlays(live: Snapshot, media: Media, answer: Answer, side: int = 512) -> dict[str, bytes]:
    """Render the overlay of the query (key "query") and of each case in the answer (case id)."""

    def drawn(case: Case | None) -> bytes:
        if case is None:
            return query_overlay(live, answer, side=side)
        return case_overlay(live, media, case, answer.explained, side)

    cases = [shown.case for shown in (*answer.neighbours, *answer.counter_examples)]
    with ThreadPoolExecutor(DRAWN_AT_ONCE) as threads:  # OpenCV and numpy leave Python's lock
        pictures = threads.map(drawn, (None, *cases))
        return dict(zip(("query", *(case.case_id for case in cases)), pictures, strict=True))


def maps(live: Snapshot, answer: Answer) -> dict[str, Map | None]:
    """Return the maps that `overlays` draws, under the same keys; None unless it is called."""
    found = {"query": query_map(live, answer)}
    for shown in (*answer.neighbours, *answer.counter_examples):
        found[shown.case.case_id] = case_map(live, shown.case, answer.explained)
    return found


def _features(live: Snapshot, media: Media, answer: ExplainedQuery, case: Case) -> Features:
    """Compute a case's features, with the checkpoint that gave the answer.

    Its maps are not stored (326 kB per case): a forward pass over the stored input restores them.
    """
    live.check_gave(answer)
    inputs = media.input(case.image_sha256, live.checkpoint.card.spec)
    return live.encoder.encode(inputs[None])


def _drawn(
    live: Snapshot, image: npt.NDArray[np.uint8], heatmap: Map | None, side: int, most: float
) -> bytes:
    if heatmap is None:
        return jpeg(shrink(image, side))
    return jpeg(overlay(image, heatmap, live.checkpoint.card.spec, side=side, most=most))
