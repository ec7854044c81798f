"""What is noted of a request while it is answered; log, audit and metrics read it afterwards."""

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
    """One query's answer.

    Attributes:
        query_id: its own.
        generation: index generation that answered.
        image_sha256: of the image that was sent; None where none was.
        results: case ids, in their order.
        timings_ms: milliseconds by stage.
    """

    query_id: str
    generation: str
    image_sha256: str | None
    results: tuple[str, ...]
    timings_ms: Mapping[str, float]


@dataclass
class Record:
    """One request. Nothing of it is an image, a file's name, or text that somebody typed.

    But for `details`, which may have what was said of a case: they go into the audit trail alone.

    Attributes:
        request_id: random.
        needed: role that the address asks for; None where anybody may come.
        key: id of the caller's API key.
        role: what the caller may do; None while that is not known.
        access: limits of the caller; no case exists for whoever is not let in.
        expires_at: when the caller's key ends; None: never.
        subject: id of the case, query or job that it is about.
        images: digests of the images that were sent, in their order.
        answers: of the queries.
        shown: ids of the cases that are shown, where no query asked for them.
        details: what was changed, as `AuditEntry.details`.
        problem: kind of the problem that was answered.
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
        """Note an image that was sent; gives it back."""
        self.images.append(hashlib.sha256(data).hexdigest())
        return data

    def answered(
        self, answer: Answer, more_timings: Mapping[str, float] = NO_TIMINGS, image: int = 0
    ) -> None:
        """Note a query's answer.

        Args:
            answer: what was found.
            more_timings: stages that came after the answer.
            image: place of its image among `images`.
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
    """The record of a request."""
    record: Record = request.state.record
    return record
