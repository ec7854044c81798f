"""Domain values -> what goes over the wire."""

import base64
from collections.abc import Mapping
from typing import Any

from app.schemas import AnswerOut, CaseOut, NeighbourOut, PredictionOut
from xemplar.catalog import Case
from xemplar.retriever import Answer, Neighbour


def answer_out(answer: Answer, pictures: Mapping[str, bytes] | None = None) -> AnswerOut:
    """An answer; ``pictures`` (`Retriever.pictures`) go into it as data URIs."""
    pictures = pictures or {}
    return AnswerOut(
        query_id=answer.query_id,
        checkpoint=answer.checkpoint,
        generation=answer.generation,
        predictions=[PredictionOut(**vars(prediction)) for prediction in answer.predictions],
        explained_finding=answer.explained,
        image_url=f"/queries/{answer.query_id}/image",
        overlay_url=f"/queries/{answer.query_id}/overlay?finding={answer.explained}",
        overlay=_data_uri(pictures.get("query")),
        neighbours=[_neighbour(answer, near, pictures) for near in answer.neighbours],
        timings_ms=answer.timings_ms,
    )


def _neighbour(answer: Answer, near: Neighbour, pictures: Mapping[str, bytes]) -> NeighbourOut:
    name = near.case.case_id
    return NeighbourOut(
        **_case(near.case),
        rank=near.rank,
        similarity=near.similarity,
        probability=near.probability,
        present=near.present,
        overlay_url=f"/cases/{name}/overlay?finding={answer.explained}",
        evidence_url=f"/cases/{name}/evidence/{answer.query_id}",
        query_evidence_url=f"/queries/{answer.query_id}/evidence/{name}",
        overlay=_data_uri(pictures.get(name)),
    )


def case_out(found: Case) -> CaseOut:
    """A case."""
    return CaseOut(**_case(found))


def _case(found: Case) -> dict[str, Any]:
    return {
        "case_id": found.case_id,
        "source": found.source,
        "findings": list(found.findings),
        "sex": found.sex,
        "age": found.age,
        "view": found.view,
        "image_url": f"/cases/{found.case_id}/image",
    }


def _data_uri(picture: bytes | None) -> str | None:
    if picture is None:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
