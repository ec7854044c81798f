"""An answer's pictures, as JPEG: films, Grad-CAM overlays, similarity evidence.

They are drawn when they are asked for: most are never looked at.
"""

import numpy as np
import numpy.typing as npt

from xemplar.answer import Answer
from xemplar.catalog import Case
from xemplar.errors import NotFound
from xemplar.explain import similarity_evidence
from xemplar.findings import finding_index
from xemplar.live import Live
from xemplar.overlay import jpeg, overlay, shrink
from xemplar.retriever import Retriever


def query_image(answer: Answer) -> bytes:
    """The query's display copy."""
    return jpeg(answer.film)


def query_overlay(
    retriever: Retriever, answer: Answer, finding: str | None = None, side: int = 512
) -> bytes:
    """The query with its Grad-CAM for a finding (None: the explained one).

    Below the finding's threshold the film is shown without a map.
    """
    findings = retriever.checkpoint.card.findings
    place = finding_index(findings, finding or answer.explained)
    present = next(p.present for p in answer.predictions if p.finding == findings[place])
    return _drawn(retriever, answer.film, answer.cams[place] if present else None, side)


def case_overlay(retriever: Retriever, case: Case, finding: str, side: int = 512) -> bytes:
    """A case with its stored Grad-CAM for a finding. No network runs.

    Below the finding's threshold the film is shown without a map.
    """
    live = retriever.live
    checkpoint, generation = live.checkpoint, live.generation
    place = finding_index(checkpoint.card.findings, finding)
    probability = checkpoint.probabilities(generation.logits(case.id))[place]
    heatmap = (
        generation.cams(case.id)[place] if probability >= checkpoint.thresholds[place] else None
    )
    return _drawn(retriever, retriever.media.display(case.image_sha256), heatmap, side)


def query_evidence(retriever: Retriever, answer: Answer, case: Case, side: int = 512) -> bytes:
    """The query, showing which places make it similar to the case.

    Raises:
        NotFound: another checkpoint answers by now.
    """
    vector = _same(retriever, answer).generation.vector(case.id)
    heatmap = similarity_evidence(answer.features.maps[0], vector)
    return _drawn(retriever, answer.film, heatmap, side)


def case_evidence(retriever: Retriever, answer: Answer, case: Case, side: int = 512) -> bytes:
    """The case, showing which places make it similar to the query.

    Its maps are not stored (326 kB a case): one forward pass over its stored input yields them
    again.

    Raises:
        NotFound: another checkpoint answers by now.
    """
    live = _same(retriever, answer)
    inputs = retriever.media.input(case.image_sha256, live.checkpoint.card.spec)
    maps = live.encoder.encode(inputs[None]).maps[0]
    heatmap = similarity_evidence(maps, answer.features.embedding[0])
    return _drawn(retriever, retriever.media.display(case.image_sha256), heatmap, side)


def overlays(retriever: Retriever, answer: Answer, side: int = 512) -> dict[str, bytes]:
    """The overlay of the query (key "query") and of each case in the answer (key: case id)."""
    drawn = {"query": query_overlay(retriever, answer, side=side)}
    for shown in (*answer.neighbours, *answer.counter_examples):
        if shown.case.case_id not in drawn:  # a neighbour may be a counter-example too
            overlaid = case_overlay(retriever, shown.case, answer.explained, side)
            drawn[shown.case.case_id] = overlaid
    return drawn


def _same(retriever: Retriever, answer: Answer) -> Live:
    """What answers, if its checkpoint gave the answer: another one's maps mean other things."""
    live = retriever.live
    if live.checkpoint.digest != answer.checkpoint:
        raise NotFound(
            f"query {answer.query_id} was answered by checkpoint {answer.checkpoint[:12]}, and "
            f"{live.checkpoint.digest[:12]} answers now; send the film again"
        )
    return live


def _drawn(
    retriever: Retriever,
    film: npt.NDArray[np.uint8],
    heatmap: npt.NDArray[np.float32] | None,
    side: int,
) -> bytes:
    if heatmap is None:
        return jpeg(shrink(film, side))
    return jpeg(overlay(film, heatmap, retriever.checkpoint.card.spec, side=side))
