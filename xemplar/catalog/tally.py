"""`Tally`: in how many cases each finding and outcome is known, and in how many it is present."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from xemplar.catalog.case import Case
from xemplar.data.findings import NO_FINDING


@dataclass(frozen=True)
class Tally:
    """Numbers of cases.

    A finding is known in a case if its label says that it is present or absent; "No Finding" says
    that every finding is absent. Whether "No Finding" applies is known where any finding is present
    or it does.

    Attributes:
        cases: all of them.
        present: finding -> cases in which it is present.
        known: finding -> cases in which it is known.
        outcomes: diagnosis -> cases in which it is a verified outcome.
        verified: cases with a verified outcome.
    """

    cases: int
    present: Mapping[str, int]
    known: Mapping[str, int]
    outcomes: Mapping[str, int]
    verified: int

    @classmethod
    def of(cls, cases: Iterable[Case]) -> Self:
        """Count a few cases; `FilterColumns.tally` counts many."""
        every = list(cases)
        labelled = [set(case.findings) for case in every]
        names = {name for case in every for name in case.labels}.union(*labelled)
        verified = [{one.diagnosis for one in case.outcomes or ()} for case in every]
        return cls(
            cases=len(every),
            present=Counter(name for found in labelled for name in found),
            known={name: sum(_is_known(name, case) for case in every) for name in names},
            outcomes=Counter(name for found in verified for name in found),
            verified=sum(map(bool, verified)),
        )


def _is_known(finding: str, case: Case) -> bool:
    if finding == NO_FINDING:
        return bool(case.findings)
    is_told = finding in case.findings or case.labels.get(finding) == 0
    return is_told or case.findings == (NO_FINDING,)
