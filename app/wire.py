"""Domain values -> what goes over the wire."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from xemplar.api import AnswerOut, CaseOut, MapsOut, NeighbourOut, NewCaseOut, PredictionOut
from xemplar.catalog import Case
from xemplar.retrieval.render import Map
from xemplar.retrieval.result import Answer, Neighbour

DECIMALS = 9
"""Of numbers of maps: thousands of them still add up to the similarity as far as it is shown."""


def answer_out(
    answer: Answer,
    *,
    root: str = "",
    pictures: Mapping[str, bytes] | None = None,
    maps: MapsOut | None = None,
    more_timings: Mapping[str, float] | None = None,
) -> AnswerOut:
    """An answer.

    Args:
        answer: what was found.
        root: what stands before each address, as "/xemplar".
        pictures: of `xemplar.retrieval.render.overlays`, to go into it as data URIs.
        maps: of `maps_out`, to go into it.
        more_timings: stages that came after the answer.
    """
    pictures = pictures or {}
    query = f"{root}/queries/{answer.query_id}"
    return AnswerOut(
        query_id=answer.query_id,
        checkpoint=answer.checkpoint,
        generation=answer.generation,
        predictions=[PredictionOut(**vars(prediction)) for prediction in answer.predictions],
        explained_finding=answer.explained,
        image_url=f"{query}/image",
        overlay_url=f"{query}/overlay?finding={quote(answer.explained)}",
        overlay=_data_uri(pictures.get("query")),
        maps=maps,
        neighbours=[_neighbour(answer, near, root, pictures) for near in answer.neighbours],
        counter_examples=[
            _neighbour(answer, near, root, pictures) for near in answer.counter_examples
        ],
        matched=answer.matched,
        archived_as=answer.archived_as,
        warnings=list(answer.warnings),
        timings_ms={**answer.timings_ms, **(more_timings or {})},
    )


def _neighbour(
    answer: Answer, near: Neighbour, root: str, pictures: Mapping[str, bytes]
) -> NeighbourOut:
    name = near.case.case_id
    case = f"{root}/cases/{name}"
    return NeighbourOut(
        **_case(near.case, root),
        rank=near.rank,
        similarity=near.similarity,
        chance=near.chance,
        probability=near.probability,
        present=near.present,
        overlay_url=f"{case}/overlay?finding={quote(answer.explained)}",
        evidence_url=f"{case}/evidence/{answer.query_id}",
        query_evidence_url=f"{root}/queries/{answer.query_id}/evidence/{name}",
        overlay=_data_uri(pictures.get(name)),
    )


def maps_out(maps: Mapping[str, Map | None], fit: Literal["stretch", "pad"]) -> MapsOut:
    """What `xemplar.retrieval.render.maps` found, under the preprocessing's ``fit``."""
    numbers = {name: None if one is None else rounded(one) for name, one in maps.items()}
    return MapsOut(fit=fit, query=numbers.pop("query"), cases=numbers)


def rounded(numbers: npt.NDArray[np.float32]) -> list[list[float]]:
    """Numbers as JSON has them, without the digits that float32 does not have."""
    rows: list[list[float]] = np.asarray(numbers, np.float64).round(DECIMALS).tolist()
    return rows


def case_out(found: Case, root: str = "") -> CaseOut:
    """A case; ``root`` stands before its address."""
    return CaseOut(**_case(found, root))


def new_case_out(found: Case, warnings: Sequence[str], root: str) -> NewCaseOut:
    """A case that was put in, and what speaks against its image."""
    return NewCaseOut(**_case(found, root), warnings=list(warnings))


def _case(found: Case, root: str) -> dict[str, Any]:
    return {
        "case_id": found.case_id,
        "source": found.source,
        "findings": list(found.findings),
        "sex": found.sex,
        "age": found.age,
        "view": found.view,
        "image_url": f"{root}/cases/{found.case_id}/image",
    }


def _data_uri(picture: bytes | None) -> str | None:
    if picture is None:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
