"""The service's interface: schemas of requests and responses, and `Client`.

Loads pydantic and the standard library alone; `Client` needs httpx2 as well. `app.wire` converts
between domain values and these schemas.
"""

from typing import TYPE_CHECKING, Any

from xemplar.api.administration import (
    AuditEntryOut,
    AuditPage,
    AuditParameters,
    Caller,
    ErrorList,
    ErrorOut,
    GenerationList,
    GenerationOut,
    KeyList,
    KeyOut,
    NewKey,
    NewKeyOut,
    Role,
)
from xemplar.api.cases import (
    LABELS,
    CaseChange,
    CaseDetailOut,
    CaseIn,
    CaseListParameters,
    CasePage,
    FindingList,
    FindingOut,
    NewCaseOut,
)
from xemplar.api.jobs import JobList, JobOut, JobState, Reindex
from xemplar.api.ratings import (
    Agreement,
    BlindCase,
    BlindList,
    CaseRankingParameters,
    CaseRating,
    OneReadersAgreement,
    RankingParameters,
    RatedCase,
    Rater,
    RaterList,
    RaterOut,
    RaterOwner,
    RatingList,
    ReaderAgreement,
)
from xemplar.api.results import (
    NOTICE,
    AnswerOut,
    AskedWordsOut,
    BatchOut,
    CalibratedOn,
    CaseOut,
    Health,
    MapsOut,
    MarkOut,
    MatchesOut,
    MeasuredOn,
    NeighbourOut,
    PredictionOut,
    Problem,
    RanksOut,
    Readiness,
    ReportOut,
    SaidOut,
    ScalesOut,
    SteeringOut,
    TaskState,
    WordsAnswerOut,
)
from xemplar.api.search import (
    CaseFilter,
    QueryParameters,
    Search,
    SimilarParameters,
    WordSearch,
)

if TYPE_CHECKING:
    from xemplar.api.client import Client
else:

    def __getattr__(name: str) -> Any:
        """Loads `Client` on first use, because nothing else here needs httpx2."""
        if name != "Client":
            raise AttributeError(f"module 'xemplar.api' has no attribute {name!r}")
        from xemplar.api.client import Client

        return Client


__all__ = [
    "LABELS",
    "NOTICE",
    "Agreement",
    "AnswerOut",
    "AskedWordsOut",
    "AuditEntryOut",
    "AuditPage",
    "AuditParameters",
    "BatchOut",
    "BlindCase",
    "BlindList",
    "CalibratedOn",
    "Caller",
    "CaseChange",
    "CaseDetailOut",
    "CaseFilter",
    "CaseIn",
    "CaseListParameters",
    "CaseOut",
    "CasePage",
    "CaseRankingParameters",
    "CaseRating",
    "Client",
    "ErrorList",
    "ErrorOut",
    "FindingList",
    "FindingOut",
    "GenerationList",
    "GenerationOut",
    "Health",
    "JobList",
    "JobOut",
    "JobState",
    "KeyList",
    "KeyOut",
    "MapsOut",
    "MarkOut",
    "MatchesOut",
    "MeasuredOn",
    "NeighbourOut",
    "NewCaseOut",
    "NewKey",
    "NewKeyOut",
    "OneReadersAgreement",
    "PredictionOut",
    "Problem",
    "QueryParameters",
    "RankingParameters",
    "RanksOut",
    "RatedCase",
    "Rater",
    "RaterList",
    "RaterOut",
    "RaterOwner",
    "RatingList",
    "ReaderAgreement",
    "Readiness",
    "Reindex",
    "ReportOut",
    "Role",
    "SaidOut",
    "ScalesOut",
    "Search",
    "SimilarParameters",
    "SteeringOut",
    "TaskState",
    "WordSearch",
    "WordsAnswerOut",
]
