"""Conversion between domain values and the schemas of `xemplar.api`."""

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from xemplar.api import (
    LABELS,
    AnswerOut,
    AskedWordsOut,
    CalibratedOn,
    CaseChange,
    CaseDetailOut,
    CaseOut,
    FilmOut,
    MapsOut,
    MarkOut,
    MeasuredOn,
    NeighbourOut,
    NewCaseOut,
    OutcomeOut,
    PredictionOut,
    PrevalenceOut,
    PriorOut,
    Problem,
    QuestionImageOut,
    RanksOut,
    ReportOut,
    ScalesOut,
    SeriesOut,
    ShareOut,
    SteeringOut,
    TimelineOut,
    ValuesOut,
    WordsAnswerOut,
    WordsMatchOut,
)
from xemplar.api.cases import INSISTED, REPORTS
from xemplar.archive.store import Store
from xemplar.catalog import Case, CaseReport
from xemplar.data.findings import known_finding
from xemplar.data.outcomes import Outcome
from xemplar.errors import InputError, InvalidArgument
from xemplar.imaging.deep import DeepValues
from xemplar.imaging.radiograph import size_mm
from xemplar.index import SimilarityCalibration
from xemplar.model.calibration import Population
from xemplar.model.explain import STRONG_MATCH, STRONG_SHARE
from xemplar.reports.terms import Place
from xemplar.retrieval.prevalence import Prevalence
from xemplar.retrieval.render import Map
from xemplar.retrieval.result import Answer, Neighbour, QuestionImage, WordsAnswer
from xemplar.retrieval.timeline import Timeline
from xemplar.retrieval.words import Fused, WordRanking
from xemplar.views import parse_view, unknown_view_message

from .problems import refusal

DECIMALS = 9
"""Decimals of map values; enough for the sum of thousands to equal the displayed similarity."""


def answer_out(
    answer: Answer,
    *,
    root: str = "",
    pictures: Mapping[str, bytes] | None = None,
    maps: MapsOut | None = None,
    more_timings: Mapping[str, float] | None = None,
) -> AnswerOut:
    """Converts an answer.

    Args:
        answer: result of a search.
        root: prefix of all addresses, such as "/xemplar".
        pictures: overlays of `xemplar.retrieval.render.overlays`, to embed as data URIs.
        maps: result of `maps_out`, to embed.
        more_timings: milliseconds of stages after the search.
    """
    pictures = pictures or {}
    query = f"{root}/queries/{answer.query_id}"
    return AnswerOut(
        query_id=answer.query_id,
        checkpoint=answer.checkpoint,
        generation=answer.generation,
        predictions=[
            PredictionOut(**vars(one), standing=one.standing) for one in answer.predictions
        ],
        calibrated_on=_calibrated_on(answer.population),
        explained_finding=answer.explained,
        image_url=f"{query}/image",
        overlay_url=f"{query}/overlay?finding={quote(answer.explained)}",
        overlay=_data_uri(pictures.get("query")),
        maps=maps,
        images=_images(answer, root),
        neighbours=[_neighbour(answer, near, root, pictures) for near in answer.neighbours],
        counter_examples=[
            _neighbour(answer, near, root, pictures) for near in answer.counter_examples
        ],
        chance_measured_on=_measured_on(answer.similarity_calibration),
        prevalence=_prevalence(answer.prevalence),
        words=None if answer.words is None else _words(answer.words),
        matched=answer.matched,
        recall_at_10=answer.recall_at_10,
        archived_as=answer.archived_as,
        warnings=list(answer.warnings),
        doubts=list(answer.doubts),
        size_mm=answer.size_mm,
        values=_values(answer.deep, f"{query}/values"),
        timings_ms={**answer.timings_ms, **(more_timings or {})},
    )


def series_out(latest: Answer, priors: Sequence[Answer | InputError], root: str = "") -> SeriesOut:
    """Converts the answer for the latest image of a patient, with the earlier images."""
    earlier: list[PriorOut | Problem] = []
    for prior in priors:
        if not isinstance(prior, Answer):
            earlier.append(refusal(prior))
            continue
        shown = answer_out(prior, root=root)
        cosine = float(prior.features.embedding[0] @ latest.features.embedding[0])
        earlier.append(
            PriorOut(
                query_id=shown.query_id,
                similarity=min(1.0, max(-1.0, cosine)),
                predictions=shown.predictions,
                image_url=shown.image_url,
                overlay_url=f"{root}/queries/{prior.query_id}/overlay"
                f"?finding={quote(latest.explained)}",
                warnings=shown.warnings,
            )
        )
    return SeriesOut(**dict(answer_out(latest, root=root)), priors=earlier)


def _images(answer: Answer, root: str) -> list[QuestionImageOut]:
    """Lists the images of a question of several, that which was asked with first."""
    if not answer.others:
        return []
    asked = QuestionImage(query_id=answer.query_id, warnings=answer.warnings)
    return [
        QuestionImageOut(
            query_id=one.query_id,
            case_id=one.case_id,
            image_url=f"{root}/queries/{one.query_id}/image"
            if one.case_id is None
            else f"{root}/cases/{one.case_id}/image",
            warnings=list(one.warnings),
        )
        for one in (asked, *answer.others)
    ]


def _values(deep: DeepValues | None, url: str) -> ValuesOut | None:
    if deep is None:
        return None
    height, width = deep.levels.shape
    lowest, highest = (
        float(end) * deep.slope + deep.intercept for end in (deep.levels.min(), deep.levels.max())
    )
    return ValuesOut(
        url=url,
        height=height,
        width=width,
        slope=deep.slope,
        intercept=deep.intercept,
        lowest=lowest,
        highest=highest,
        window_centre=deep.centre,
        window_width=deep.width,
        inverted=deep.inverted,
    )


def _prevalence(found: Prevalence | None) -> PrevalenceOut | None:
    if found is None:
        return None
    findings, outcomes = (
        [ShareOut(**vars(one)) for one in shares] for shares in (found.findings, found.outcomes)
    )
    return PrevalenceOut(cases=found.cases, findings=findings, outcomes=outcomes)


def words_answer_out(answer: WordsAnswer, root: str = "") -> WordsAnswerOut:
    """Converts an answer to words alone; ``root`` is the prefix of all addresses."""
    neighbours = [
        WordsMatchOut(
            **_case(one.case, root),
            rank=one.rank,
            more_of_patient=list(one.more_of_patient),
            ranks=_ranks(one.fused),
            report=_report_out(one.report, one.marks),
        )
        for one in answer.neighbours
    ]
    return WordsAnswerOut(
        generation=answer.generation,
        neighbours=neighbours,
        words=_words(answer.words),
        prevalence=_prevalence(answer.prevalence),
        matched=answer.matched,
        timings_ms=answer.timings_ms,
    )


def _words(ranking: WordRanking) -> AskedWordsOut:
    return AskedWordsOut(cases=len(ranking.ids), unknown=list(ranking.asked.unknown))


def _ranks(fused: Fused) -> RanksOut:
    return RanksOut(score=fused.score, by_image=fused.image_rank, by_words=fused.words_rank)


def _report(found: CaseReport | None, marks: Sequence[Place] = ()) -> ReportOut | None:
    return None if found is None else _report_out(found, marks)


def _report_out(found: CaseReport, marks: Sequence[Place]) -> ReportOut:
    return ReportOut(
        **vars(found.report),
        labels_mined=found.mined,
        marks=[MarkOut(**vars(mark)) for mark in marks],
    )


def _calibrated_on(images: Population | None) -> CalibratedOn | None:
    return None if images is None else CalibratedOn(**vars(images))


def _measured_on(images: SimilarityCalibration | None) -> MeasuredOn | None:
    if images is None:
        return None
    return MeasuredOn(source=images.source, images=images.images, ill=images.ill)


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
        closer_than=near.closer_than,
        more_of_patient=list(near.more_of_patient),
        probability=near.probability,
        called=near.called,
        steering=None if near.steering is None else SteeringOut(**vars(near.steering)),
        ranks=None if near.fused is None else _ranks(near.fused),
        report=_report(near.report, near.marks),
        overlay_url=f"{case}/overlay?finding={quote(answer.explained)}",
        evidence_url=f"{case}/evidence/{answer.query_id}",
        query_evidence_url=f"{root}/queries/{answer.query_id}/evidence/{name}",
        overlay=_data_uri(pictures.get(name)),
    )


def maps_out(
    maps: Mapping[str, Map | None], fit: Literal["stretch", "pad"], strong: float
) -> MapsOut:
    """Converts maps.

    Args:
        maps: of `xemplar.retrieval.render.maps`.
        fit: of the preprocessing.
        strong: value of the explained finding in the brightest colour (`Calibration.strong`).
    """
    numbers = {name: None if one is None else rounded(one) for name, one in maps.items()}
    scales = ScalesOut(gradcam=strong, similarity=STRONG_SHARE, match=STRONG_MATCH)
    return MapsOut(fit=fit, scales=scales, query=numbers.pop("query"), cases=numbers)


def rounded(numbers: npt.NDArray[np.float32]) -> list[list[float]]:
    """Converts an array for JSON, without digits beyond the precision of float32."""
    rows: list[list[float]] = np.asarray(numbers, np.float64).round(DECIMALS).tolist()
    return rows


def case_out(found: Case, root: str = "") -> CaseOut:
    """Converts a case; ``root`` is the prefix of its address."""
    return CaseOut(**_case(found, root))


def case_detail_out(
    found: Case, root: str, viewer_url: str | None, report: CaseReport | None
) -> CaseDetailOut:
    """Converts a case with the address of its study in the hospital's viewer."""
    return CaseDetailOut(**_case(found, root), viewer_url=viewer_url, report=_report(report))


def timeline_out(case_id: str, found: Timeline, root: str) -> TimelineOut:
    """Converts the timeline of a case's patient."""
    films = [
        FilmOut(**_case(film.case, root), since_first=film.since_first, called=list(film.called))
        for film in found.films
    ]
    return TimelineOut(case_id=case_id, order=found.order, films=films, left_out=found.left_out)


def new_case_out(found: Case, warnings: Sequence[str], root: str) -> NewCaseOut:
    """Converts a case that was just added, with warnings about its image."""
    return NewCaseOut(**_case(found, root), warnings=list(warnings))


def _case(found: Case, root: str) -> dict[str, Any]:
    return {
        "case_id": found.case_id,
        "source": found.source,
        "findings": list(found.findings),
        "sex": found.sex,
        "age": found.age,
        "view": found.view,
        "followup": found.followup,
        "day": found.day,
        "outcomes": [OutcomeOut(**vars(one)) for one in found.outcomes or ()],
        "size_mm": size_mm((found.height, found.width), found.spacing_mm),
        "image_url": f"{root}/cases/{found.case_id}/image",
    }


def description_fields(
    given: CaseChange, store: Store, source: str, vocabulary: Collection[str]
) -> dict[str, Any]:
    """Converts the named fields of a case to fields of a `Description`.

    The patient id becomes a pseudonym. Naming one of the three lists of findings replaces all of
    them.

    Args:
        given: fields from the request.
        store: holds the key of the pseudonyms.
        source: source of the case, unless the request names another.
        vocabulary: findings that may be named.

    Raises:
        UnknownFinding: a finding is not in the vocabulary; the message names the nearest ones.
        InvalidArgument: an unknown view, a finding in two lists, or a new source without the
            patient.
    """
    named = given.model_dump(exclude_unset=True, exclude={*INSISTED, *REPORTS})
    if given.view is not None:
        named["view"] = parse_view(given.view)
        if named["view"] is None:
            raise InvalidArgument(unknown_view_message(given.view))
    moved = named.get("source", source) != source
    if "patient" in named and given.patient is not None:
        named["patient"] = store.pseudonym(given.source or source, given.patient)
    elif moved and "patient" not in named:
        raise InvalidArgument(
            "a patient is known within one source; name the patient again, or null, with the "
            "new source"
        )
    if LABELS.keys() & named.keys():
        named = {name: value for name, value in named.items() if name not in LABELS}
        named["labels"] = _labels(given, vocabulary)
    if "outcomes" in named:
        named["outcomes"] = tuple(Outcome(**vars(one)) for one in given.outcomes)
    return named


def _labels(given: CaseChange, vocabulary: Collection[str]) -> dict[str, int]:
    labels: dict[str, int] = {}
    for state, value in LABELS.items():
        for name in getattr(given, state):
            finding = known_finding(name, vocabulary)
            if labels.setdefault(finding, value) != value:
                raise InvalidArgument(f"{finding[:60]!r} is {state} and something else too")
    return labels


def _data_uri(picture: bytes | None) -> str | None:
    if picture is None:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
