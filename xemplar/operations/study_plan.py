"""Plan of a reader study: who sees which film with which cases, when; locked by its digest."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xemplar.api.rating_scale import RATER
from xemplar.archive.artefact import digest_of
from xemplar.errors import CorruptArtefact

CasesShown: TypeAlias = Literal["none", "similar", "wrong"]
"""Cases beside a film: none; the most similar; the most similar of those whose label contradicts
the film's, so that who follows them errs."""

ID_DIGITS = 16

CaseId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Part):
    """Condition under which films are read."""

    name: str = Field(pattern="^[a-z][a-z0-9-]{0,31}$")
    cases: CasesShown


class StudyFilm(_Part):
    """Film of a study, with the cases that each kind of arm shows beside it."""

    case_id: CaseId
    present: bool
    cases: dict[CasesShown, tuple[CaseId, ...]]


class StudyPlan(_Part):
    """Everything about a study that its readings depend on.

    Attributes:
        protocol: the protocol as it was read, for the report.
        generation: index generation that the cases are from.
        checkpoint: digest of the checkpoint that found them.
        sessions: reader -> sessions -> (film, arm) by their numbers, in the order of reading.
    """

    schema_version: Literal[1] = 1
    title: str
    question: str
    finding: str
    ask_trust: bool
    washout_days: float = Field(ge=0)
    protocol: dict[str, Any]
    generation: str
    checkpoint: str
    arms: tuple[Arm, ...]
    films: tuple[StudyFilm, ...]
    sessions: dict[Annotated[str, Field(pattern=RATER)], tuple[tuple[tuple[int, int], ...], ...]]

    @property
    def digest(self) -> str:
        """Sha256 hex digest of the content: readings belong to it, and to no other plan."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def study_id(self) -> str:
        """First digits of the digest, which name the study."""
        return self.digest[:ID_DIGITS]

    def readings_of(self, reader: str) -> list[tuple[int, StudyFilm, Arm]]:
        """List (session, film, arm) of a reader's readings, in their order."""
        return [
            (session, self.films[film], self.arms[arm])
            for session, readings in enumerate(self.sessions[reader])
            for film, arm in readings
        ]

    @classmethod
    def from_json(cls, content: Mapping[str, Any], digest: str | None = None) -> Self:
        """Read a plan, and compare it with its digest if that is given.

        Raises:
            CorruptArtefact: it is no plan, or was changed after it was locked.
        """
        try:
            plan = cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise CorruptArtefact(
                f"the plan of the reader study cannot be read: {where or 'it'}: {first['msg']}"
            ) from error
        if digest is not None and plan.digest != digest:
            raise CorruptArtefact(
                f"the plan of the reader study has the digest {plan.digest}, and was locked with "
                f"{digest}: it was changed; use the plan as `xemplar readers plan` wrote it"
            )
        return plan
