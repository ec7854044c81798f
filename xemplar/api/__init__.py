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
    FilmOut,
    FindingList,
    FindingOut,
    NewCaseOut,
    OutcomeIn,
    TimelineOut,
)
from xemplar.api.collections import (
    AskedQuery,
    CollectionChange,
    CollectionDetailOut,
    CollectionIn,
    CollectionList,
    CollectionOut,
    CollectionOwner,
    EntryIn,
    EntryOut,
    GivenCollections,
    QueryHistory,
)
from xemplar.api.health import Health, Readiness, TaskState
from xemplar.api.jobs import JobList, JobOut, JobState, Reindex
from xemplar.api.maps import MapsOut, MatchesOut, ScalesOut
from xemplar.api.pixels import TextOut, ValuesOut
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
from xemplar.api.reader_studies import (
    NextReadingOut,
    ReaderStudyList,
    ReaderStudyOut,
    ReadingIn,
    ShownCase,
)
from xemplar.api.results import (
    NOTICE,
    AnswerOut,
    BatchOut,
    CalibratedOn,
    CaseOut,
    MeasuredOn,
    NeighbourOut,
    OutcomeOut,
    PredictionOut,
    PrevalenceOut,
    PriorOut,
    Problem,
    QuestionImageOut,
    SeriesOut,
    ShareOut,
    SteeringOut,
    WordsAnswerOut,
    WordsMatchOut,
)
from xemplar.api.search import (
    CaseFilter,
    QueryParameters,
    Search,
    SimilarParameters,
)
from xemplar.api.words import AskedWordsOut, MarkOut, RanksOut, ReportOut

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
    "AskedQuery",
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
    "CollectionChange",
    "CollectionDetailOut",
    "CollectionIn",
    "CollectionList",
    "CollectionOut",
    "CollectionOwner",
    "EntryIn",
    "EntryOut",
    "ErrorList",
    "ErrorOut",
    "FilmOut",
    "FindingList",
    "FindingOut",
    "GenerationList",
    "GenerationOut",
    "GivenCollections",
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
    "NextReadingOut",
    "OneReadersAgreement",
    "OutcomeIn",
    "OutcomeOut",
    "PredictionOut",
    "PrevalenceOut",
    "PriorOut",
    "Problem",
    "QueryHistory",
    "QueryParameters",
    "QuestionImageOut",
    "RankingParameters",
    "RanksOut",
    "RatedCase",
    "Rater",
    "RaterList",
    "RaterOut",
    "RaterOwner",
    "RatingList",
    "ReaderAgreement",
    "ReaderStudyList",
    "ReaderStudyOut",
    "Readiness",
    "ReadingIn",
    "Reindex",
    "ReportOut",
    "Role",
    "ScalesOut",
    "Search",
    "SeriesOut",
    "ShareOut",
    "ShownCase",
    "SimilarParameters",
    "SteeringOut",
    "TaskState",
    "TextOut",
    "TimelineOut",
    "ValuesOut",
    "WordsAnswerOut",
    "WordsMatchOut",
]
