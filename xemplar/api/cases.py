"""Cases: the fields that describe one, changes to them, and lists."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_serializer,
    field_validator,
)

from xemplar.api.results import CaseOut
from xemplar.api.search import MAX_AGE, CaseFilter, Counted
from xemplar.api.words import ReportOut
from xemplar.data.findings import canonical
from xemplar.data.outcomes import MAX_DAYS, MAX_FOLLOWUP, MAX_OUTCOMES, Diagnosis, Proof
from xemplar.names import CONTROLS, name_problem
from xemplar.reports.report import MOST_CHARACTERS
from xemplar.views import VIEWS

MAX_PAGE = 200


def _without_controls(text: str) -> str:
    if fault := name_problem(text):
        raise ValueError(fault)
    return text


WITHOUT_CONTROLS = AfterValidator(_without_controls)
"""Refuses control characters in stored text (see `xemplar.names`)."""

Word = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    WITHOUT_CONTROLS,
    Field(json_schema_extra={"pattern": rf"^[^{CONTROLS}]*[^\s{CONTROLS}][^{CONTROLS}]*$"}),
]
Findings = Annotated[list[Annotated[Word, AfterValidator(canonical)]], Field(max_length=100)]
Age = Annotated[int, Field(ge=0, le=MAX_AGE)]
Followup = Annotated[int, Field(ge=0, le=MAX_FOLLOWUP)]
Day = Annotated[int, Field(ge=0, le=MAX_DAYS)]
NUMBER_OF_STUDY = "Number of the study among its patient's, ascending."
DAY_OF_STUDY = "Days since the patient's first study; never a date, which could identify."


class OutcomeIn(BaseModel):
    """Verified outcome of a case."""

    model_config = ConfigDict(extra="forbid")

    diagnosis: Annotated[Diagnosis, BeforeValidator(lambda text: Diagnosis.read(str(text)))]
    proof: Annotated[Proof, BeforeValidator(lambda text: Proof.read(str(text)))] = Field(
        description="Kind of proof: the reference standard."
    )
    days: Annotated[int, Field(ge=-MAX_DAYS, le=MAX_DAYS), Counted] | None = Field(
        None, description="Days from the study to the proof, negative for an earlier proof."
    )


Outcomes = Annotated[list[OutcomeIn], Field(max_length=MAX_OUTCOMES)]
WHAT_IT_WAS = "What the study turned out to be, with its proof. Replaces what was told before."


LABELS = {"present": 1, "absent": 0, "uncertain": -1}

INSISTED = frozenset({"any_body_part", "burned_in_text"})
"""Fields of a new case that override the refusal of an image, and do not describe it."""


REPORTS = frozenset({"report", "findings_text", "impression"})
"""Fields with text of a report, which is stored apart from the description, and scrubbed."""

ReportText = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS)]


class CaseChange(BaseModel):
    """Changes to a case. Omitted fields stay as they are; null deletes a value."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    source: Word = Field("", description="Data set or hospital.", examples=["clinic"])
    patient: Word | None = Field(
        None,
        description="The source's patient id. Only a pseudonym of it is stored, so images are "
        "recognised as one patient's within one source only. Required again to change the source.",
        examples=["4711"],
    )
    view: Word | None = Field(
        None,
        description=f"One of {', '.join(sorted(VIEWS))}, or a synonym such as 'AP supine'. Others "
        "are refused, and the error names the nearest known view.",
        examples=["PA"],
    )
    sex: Literal["F", "M"] | None = None
    age: Annotated[Age, Counted] | None = Field(None, description="In years.")
    present: Findings = Field(
        [],
        description="Findings that are present. Names from NIH ChestX-ray14, CheXpert, the current "
        "network, or a case in the catalog; case, spaces, underscores and hyphens are ignored. "
        "Others are refused, and the error names the nearest known ones; to add new names, use "
        "`xemplar index --unknown-findings keep`.",
        examples=[["Effusion", "Edema"]],
    )
    absent: Findings = Field(
        [], description="Findings that are absent; names as for `present`.", examples=[["Mass"]]
    )
    uncertain: Findings = Field(
        [], description="Findings that are uncertain; names as for `present`."
    )
    split: Word | None = Field(None, description="Split, such as train, val or test.")
    followup: Annotated[Followup, Counted] | None = Field(None, description=NUMBER_OF_STUDY)
    day: Annotated[Day, Counted] | None = Field(None, description=DAY_OF_STUDY)
    outcomes: Outcomes = Field(
        [],
        description=WHAT_IT_WAS,
        examples=[[{"diagnosis": "Lung Cancer", "proof": "biopsy", "days": 12}]],
    )
    report: ReportText | None = Field(
        None,
        description="Report in English as plain text; its sections FINDINGS and IMPRESSION are "
        "used, all of it without headings. Stored are only words of chest reports: the scrubber "
        "removes all others. Refused unless the service takes reports (XEMPLAR_REPORTS).",
        examples=["FINDINGS: Small left effusion.\nIMPRESSION: Effusion."],
    )
    findings_text: ReportText | None = Field(
        None,
        description="Findings of the report, instead of those in `report`.",
        examples=["Small left effusion. No pneumothorax."],
    )
    impression: ReportText | None = Field(
        None,
        description="Impression of the report, instead of that in `report`.",
        examples=["Effusion."],
    )

    @property
    def findings(self) -> tuple[str, ...]:
        """All findings with a label."""
        return (*self.present, *self.absent, *self.uncertain)


class CaseIn(CaseChange):
    """Description of a new case: form fields beside the image."""

    source: Word = Field(
        "",
        description="Data set or hospital. Optional for a key with a single source.",
        examples=["clinic"],
    )
    # a form has only text
    age: Age | None = Field(None, description="In years.")
    followup: Followup | None = Field(None, description=NUMBER_OF_STUDY)
    day: Day | None = Field(None, description=DAY_OF_STUDY)
    any_body_part: bool = Field(
        False,
        description="Accept the image although its DICOM header names another body part than the "
        "chest.",
    )

    burned_in_text: bool = Field(
        False,
        description="Accept the image although its DICOM header says that it contains burned-in "
        "text. Check it first: the text may name the patient.",
    )

    @field_validator("present", "absent", "uncertain", mode="before")
    @classmethod
    def _separated(cls, values: Any) -> Any:
        """Splits findings of a form: a repeated field, or names separated by commas."""
        if not isinstance(values, list):
            return values
        return [name for value in values for name in str(value).split(",") if name.strip()]

    @field_validator("outcomes", mode="before")
    @classmethod
    def _written(cls, values: Any) -> Any:
        """Reads outcomes of a form: a repeated field with diagnosis, proof and days."""
        if not isinstance(values, list):
            return values
        return [_outcome(value) if isinstance(value, str) else value for value in values]

    @field_serializer("outcomes", when_used="json")
    def _as_text(self, outcomes: list[OutcomeIn]) -> list[str]:
        """Writes outcomes as a form has them."""
        parts = ([one.diagnosis, one.proof, one.days] for one in outcomes)
        return [", ".join(str(part) for part in some if part is not None) for some in parts]


def _outcome(text: str) -> dict[str, Any]:
    written = re.fullmatch(r"([^,]+),([^,]+)(?:,\s*(-?[0-9]{1,5}))?\s*", text)
    if written is None:
        raise ValueError(
            "an outcome of a form is diagnosis, proof and, if known, days: 'TB, CT, 9'"
        )
    days = None if written[3] is None else int(written[3])
    return {"diagnosis": written[1].strip(), "proof": written[2].strip(), "days": days}


class CaseListParameters(CaseFilter):
    """Parameters of ``GET /cases``."""

    limit: int = Field(50, ge=1, le=MAX_PAGE, description="Cases per page.")
    after: int = Field(0, ge=0, lt=2**63, description="Cursor of the page, from `next`.")


class CaseDetailOut(CaseOut):
    """Past case, with its report and the way to its study."""

    report: ReportOut | None = Field(
        None, exclude_if=lambda report: report is None, description="Absent if it has none."
    )

    viewer_url: str | None = Field(
        description="Address of the case's study in the hospital's viewer, which asks for its own "
        "permission; null if the service is set to keep none, or the case has none."
    )


class FilmOut(CaseOut):
    """Past case on its patient's timeline."""

    since_first: int | None = Field(
        description="Days since the first film of the timeline; null if days are not known."
    )
    called: list[str] = Field(description="Findings that the network calls in it.")


class TimelineOut(BaseModel):
    """Films of a case's patient that the key may see, the first taken first."""

    case_id: str
    order: Literal["day", "followup", "partial"] = Field(
        description="What told the order: days, or numbers of the studies; partial if some films "
        "have neither: these come last, in the order of indexing."
    )
    films: list[FilmOut] = Field(
        description="At most 200. The case alone if its patient is not known."
    )
    left_out: int = Field(ge=0, description="Further films, those farthest from the case.")


class NewCaseOut(CaseOut):
    """Case that was just added."""

    warnings: list[str] = Field(
        description="Doubts about the image, as for a query; empty for a plausible radiograph."
    )


class CasePage(BaseModel):
    """Page of cases in the order of indexing."""

    cases: list[CaseOut]
    next: str | None = Field(description="Address of the next page; null on the last one.")


class FindingOut(BaseModel):
    """Finding that filters can name."""

    finding: str = Field(examples=["Effusion"])
    cases: int = Field(
        ge=0, description="Number of cases in which it is present by the label file."
    )
    predicted: bool = Field(description="True if the current network predicts it.")


class FindingList(BaseModel):
    """Findings of the cases and of the network, in alphabetical order."""

    findings: list[FindingOut]
