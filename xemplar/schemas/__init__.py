"""What goes over the wire, both ways. The service and `xemplar.Client` use the same.

Domain values become these at the edge (`app.wire`), and nowhere else.
"""

from xemplar.schemas.administration import (
    AuditEntryOut,
    AuditPage,
    AuditQuestion,
    ErrorList,
    ErrorOut,
)
from xemplar.schemas.answers import (
    NOTICE,
    AnswerOut,
    BatchOut,
    CaseOut,
    Health,
    MapsOut,
    MatchesOut,
    NeighbourOut,
    PredictionOut,
    Problem,
    Readiness,
)
from xemplar.schemas.cases import LABELS, CaseChange, CaseIn, CasePage, CaseQuery, NewCaseOut
from xemplar.schemas.jobs import JobList, JobOut, Reindex
from xemplar.schemas.questions import BatchQuestion, Filters, Question, SimilarQuestion

__all__ = [
    "LABELS",
    "NOTICE",
    "AnswerOut",
    "AuditEntryOut",
    "AuditPage",
    "AuditQuestion",
    "BatchOut",
    "BatchQuestion",
    "CaseChange",
    "CaseIn",
    "CaseOut",
    "CasePage",
    "CaseQuery",
    "ErrorList",
    "ErrorOut",
    "Filters",
    "Health",
    "JobList",
    "JobOut",
    "MapsOut",
    "MatchesOut",
    "NeighbourOut",
    "NewCaseOut",
    "PredictionOut",
    "Problem",
    "Question",
    "Readiness",
    "Reindex",
    "SimilarQuestion",
]
