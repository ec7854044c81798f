"""Prevalence of findings and outcomes among similar cases, beside all cases that match.

Counts of past cases, never a probability for the query: the cases were chosen for their look.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from xemplar.catalog import Case
from xemplar.catalog.tally import Tally

Z = 1.959963984540054
"""Quantile of the normal distribution, for intervals of 95 %."""


@dataclass(frozen=True)
class Share:
    """Share of similar cases with a finding or outcome, and that of all cases that match.

    Attributes:
        name: the finding, or the outcome's diagnosis.
        count: of the similar cases with it.
        known: of the similar cases in which it is known.
        low: lower end of the 95 % interval of count / known.
        high: upper end.
        archive_count: of all cases that match.
        archive_known: likewise.
    """

    name: str
    count: int
    known: int
    low: float
    high: float
    archive_count: int
    archive_known: int


@dataclass(frozen=True)
class Prevalence:
    """Findings and outcomes of similar cases.

    Attributes:
        cases: number of similar cases that are counted: one of each patient.
        findings: present in any of them, the most frequent first.
        outcomes: verified in any of them, likewise; known in cases with any verified outcome.
    """

    cases: int
    findings: tuple[Share, ...]
    outcomes: tuple[Share, ...]


def prevalence(similar: Iterable[Case], archive: Tally, own: Case | None = None) -> Prevalence:
    """Compare similar cases with all cases that match.

    Args:
        similar: the most similar first. Of each patient the first counts: another film of the same
            disease is no further evidence.
        archive: all cases that match.
        own: the case of the query image, if it is one; it and its patient do not count.
    """
    near = Tally.of(_independent(similar, own))
    verified = dict.fromkeys(near.outcomes, near.verified)
    in_archive = dict.fromkeys(near.outcomes, archive.verified)
    return Prevalence(
        cases=near.cases,
        findings=_shares(near.present, near.known, archive.present, archive.known),
        outcomes=_shares(near.outcomes, verified, archive.outcomes, in_archive),
    )


def wilson(count: int, known: int) -> tuple[float, float]:
    """Compute the 95 % score interval of a share (Wilson, JASA 22, 1927).

    Recommended for few cases (Brown, Cai, DasGupta, Statistical Science 16, 2001); its ends lie
    within [0, 1] and it is no point even where none or all have a property.

    Args:
        count: cases with the property, 0 to ``known``.
        known: cases, at least 1.
    """
    share, weight = count / known, Z * Z / known
    middle = (share + weight / 2) / (1 + weight)
    half = sqrt(share * (1 - share) * weight + weight * weight / 4) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def _independent(similar: Iterable[Case], own: Case | None) -> list[Case]:
    """Leave out the query's own case and patient, and all but the first case of each patient."""
    seen = {own.patient} - {None} if own else set[str | None]()
    kept: list[Case] = []
    for case in similar:
        if (own is None or case.id != own.id) and case.patient not in seen:
            kept.append(case)
            seen |= {case.patient} - {None}
    return kept


def _shares(
    present: Mapping[str, int],
    known: Mapping[str, int],
    archive: Mapping[str, int],
    archive_known: Mapping[str, int],
) -> tuple[Share, ...]:
    found: Sequence[str] = sorted(present, key=lambda name: (-present[name], name))
    return tuple(
        Share(
            name,
            present[name],
            known[name],
            *wilson(present[name], known[name]),
            archive.get(name, 0),
            archive_known.get(name, 0),
        )
        for name in found
    )
