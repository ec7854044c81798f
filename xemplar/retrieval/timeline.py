"""A patient's films in the order in which they were taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from xemplar.catalog import Case, Catalog
from xemplar.errors import NotFound
from xemplar.retrieval.snapshot import Snapshot

Order: TypeAlias = Literal["day", "followup", "partial"]

MAX_FILMS = 200
"""Films of one patient that are shown; NIH ChestX-ray14 has up to 184."""


@dataclass(frozen=True)
class Film:
    """A film on a timeline.

    Attributes:
        case: the film's case.
        since_first: days since the first film of the timeline; None where days are not known.
        called: findings that the network calls in it.
    """

    case: Case
    since_first: int | None
    called: tuple[str, ...]


@dataclass(frozen=True)
class Timeline:
    """Films of a case's patient.

    Attributes:
        order: what told the order: days, numbers of the studies, or for some films neither, which
            then stand last, in the order of indexing.
        films: the first taken first.
        left_out: number of further films, those farthest from the case.
    """

    order: Order
    films: tuple[Film, ...]
    left_out: int


def timeline(case: Case, live: Snapshot, catalog: Catalog) -> Timeline:
    """Order the films of a case's patient that the caller may see; of an unknown one, the case.

    Args:
        case: the case.
        live: tells which cases are indexed, and what the network calls in them.
        catalog: of the cases, restricted to the caller's limits.

    Raises:
        NotFound: the case is not in the live generation.
    """
    if case.id not in live.generation:
        raise NotFound(f"case {case.case_id} is not in the live index generation")
    others = catalog.cases(catalog.patient_ids(case.patient)) if case.patient else {}
    there = [one for one in ({case.id: case} | dict(others)).values() if one.id in live.generation]
    order, films = in_order(there)
    place = next(n for n, (one, _) in enumerate(films) if one.id == case.id)
    first = max(0, min(place - MAX_FILMS // 2, len(films) - MAX_FILMS))
    shown = films[first : first + MAX_FILMS]
    start = shown[0][1]
    return Timeline(
        order=order,
        films=tuple(
            Film(
                case=one,
                since_first=None if day is None or start is None else day - start,
                called=_called(one, live),
            )
            for one, day in shown
        ),
        left_out=len(films) - len(shown),
    )


def in_order(cases: Sequence[Case]) -> tuple[Order, list[tuple[Case, int | None]]]:
    """Sort films of one patient, each with its day where all days count from the same one.

    What all films have decides: days told by the data set, days from DICOM headers, or numbers of
    the studies, which also order the films of one day.
    """
    for name in ("day", "shifted_day"):
        days = {case.id: getattr(case, name) for case in cases}
        if None not in days.values():
            ordered = sorted(cases, key=lambda case: (days[case.id], *_number(case)))
            return "day", [(case, days[case.id]) for case in ordered]
    known = all(case.followup is not None for case in cases)
    return "followup" if known else "partial", [(case, None) for case in sorted(cases, key=_number)]


def _number(case: Case) -> tuple[bool, int, int]:
    return case.followup is None, case.followup or 0, case.id


def _called(case: Case, live: Snapshot) -> tuple[str, ...]:
    checkpoint = live.checkpoint
    probabilities = checkpoint.probabilities(live.generation.logits(case.id))
    return tuple(
        checkpoint.card.findings[index]
        for index in checkpoint.order(probabilities)
        if checkpoint.called(probabilities, index)
    )
