"""`Record`: facts about a request, collected for log, audit trail and metrics."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from fastapi import Request

from xemplar.catalog import NOTHING, Access
from xemplar.operations.keys import Role
from xemplar.retrieval.result import Answer

NO_TIMINGS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Answered:
    """The answer to one query.

    Attributes:
        query_id: id of the query.
        generation: index generation that was searched.
        image_sha256: digest of the uploaded image; None if there was none.
        results: case ids, in the order of the answer.
        timings_ms: milliseconds by stage.
    """

    query_id: str
    generation: str
    image_sha256: str | None
    results: tuple[str, ...]
    timings_ms: Mapping[str, float]


@dataclass
class Record:
    """Facts about one request, without images, file names, or text that somebody typed.

    The exception is `details`, which may hold a case's description; only the audit trail stores it.

    Attributes:
        request_id: random.
        needed: role that the route requires; None if it is open to all.
        key: id of the caller's API key.
        role: of the caller; None until the guard has admitted the request.
        access: cases that exist for the caller; none until the guard has admitted the request.
        expires_at: expiry of the caller's key; None: never.
        subject: id of the case, query or job that the request is about.
        images: digests of the uploaded images, in their order.
        answers: to the queries of the request.
        shown: ids of the cases shown without a query.
        details: changes made, see `AuditEntry.details`.
        problem: kind of the problem in the response.
    """

    request_id: str
    needed: Role | None = None
    key: str | None = None
    role: Role | None = None
    access: Access = NOTHING
    expires_at: datetime | None = None
    subject: str | None = None
    images: list[str] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    shown: tuple[str, ...] = ()
    details: Mapping[str, Any] | None = None
    problem: str | None = None

    def image(self, data: bytes) -> bytes:
        """Record an uploaded image; returns it unchanged."""
        self.images.append(hashlib.sha256(data).hexdigest())
        return data

    def answered(
        self, answer: Answer, more_timings: Mapping[str, float] = NO_TIMINGS, image: int = 0
    ) -> None:
        """Record the answer to a query.

        Args:
            answer: to the query.
            more_timings: stages after the answer.
            image: position of its image in `images`.
        """
        self.answers.append(
            Answered(
                answer.query_id,
                answer.generation,
                self.images[image] if self.images else None,
                tuple(near.case.case_id for near in answer.neighbours),
                {**answer.timings_ms, **more_timings},
            )
        )


def record_of(request: Request) -> Record:
    """Return the record of a request."""
    record: Record = request.state.record
    return record
