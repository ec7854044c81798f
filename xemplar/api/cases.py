"""Cases: the fields that describe one, changes to them, and lists."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from xemplar.api.results import CaseOut
from xemplar.api.search import MAX_AGE, CaseFilter, Counted
from xemplar.data.findings import canonical
from xemplar.data.views import VIEWS
from xemplar.data.words import CONTROLS, fault_of

MAX_PAGE = 200


def _without_controls(text: str) -> str:
    if fault := fault_of(text):
        raise ValueError(fault)
    return text


WITHOUT_CONTROLS = AfterValidator(_without_controls)
"""Of a text that is kept: control characters are refused (see `xemplar.data.words`)."""

Word = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    WITHOUT_CONTROLS,
    Field(json_schema_extra={"pattern": rf"^[^{CONTROLS}]*[^\s{CONTROLS}][^{CONTROLS}]*$"}),
]
Findings = Annotated[list[Annotated[Word, AfterValidator(canonical)]], Field(max_length=100)]
Age = Annotated[int, Field(ge=0, le=MAX_AGE)]


LABELS = {"present": 1, "absent": 0, "uncertain": -1}

INSISTED = frozenset({"any_body_part", "burned_in_text"})
"""Fields of a new case that say which images are taken all the same."""


class CaseChange(BaseModel):
    """What is known of a case. What is not named stays as it is; null forgets it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    source: Word = Field("", description="Data set or hospital.", examples=["clinic"])
    patient: Word | None = Field(
        None,
        description="The source's patient id. Only a pseudonym of it is stored, and only images of "
        "one source are recognised as one patient's. Changing the source needs it again.",
        examples=["4711"],
    )
    view: Word | None = Field(
        None,
        description=f"One of {', '.join(sorted(VIEWS))}; other words for them are understood, as "
        "'AP supine'. Any other is refused with the nearest known one.",
        examples=["PA"],
    )
    sex: Literal["F", "M"] | None = None
    age: Annotated[Age, Counted] | None = Field(None, description="In years.")
    present: Findings = Field(
        [],
        description="Findings that are present. A name of NIH ChestX-ray14, of CheXpert, of the "
        "network that answers, or of a case in the catalog; capitals, spaces, underscores and "
        "hyphens do not matter. Any other is refused with the nearest known ones: new names come "
        "in by `xemplar index --unknown-findings keep`.",
        examples=[["Effusion", "Edema"]],
    )
    absent: Findings = Field(
        [], description="Findings that are absent; likewise.", examples=[["Mass"]]
    )
    uncertain: Findings = Field([], description="Findings that are uncertain; likewise.")
    split: Word | None = Field(None, description="As train, val or test.")

    @property
    def findings(self) -> tuple[str, ...]:
        """All findings that it speaks of."""
        return (*self.present, *self.absent, *self.uncertain)


class CaseIn(CaseChange):
    """What is known of a new case, as fields of the form that brings its image."""

    source: Word = Field(
        "",
        description="Data set or hospital. May be left out with a key that has only one source.",
        examples=["clinic"],
    )
    age: Age | None = Field(None, description="In years.")  # a form has only text
    any_body_part: bool = Field(
        False,
        description="Take the image although its DICOM header says that it shows another part of "
        "the body than the chest.",
    )

    burned_in_text: bool = Field(
        False,
        description="Take the image although its DICOM header says that text is burnt into the "
        "picture. Look at it first: it may name the patient.",
    )

    @field_validator("present", "absent", "uncertain", mode="before")
    @classmethod
    def _separated(cls, values: Any) -> Any:
        """Findings of a form: a repeated field, or names between commas."""
        if not isinstance(values, list):
            return values
        return [name for value in values for name in str(value).split(",") if name.strip()]


class CaseListParameters(CaseFilter):
    """Parameters of ``GET /cases``."""

    limit: int = Field(50, ge=1, le=MAX_PAGE, description="Cases on a page.")
    after: int = Field(0, ge=0, lt=2**63, description="Where the page begins; from `next`.")


class NewCaseOut(CaseOut):
    """A case that was put in."""

    warnings: list[str] = Field(
        description="What speaks against the image, as for a query. Empty for an image as it "
        "should "
        "be."
    )


class CasePage(BaseModel):
    """Some cases, those that were indexed first."""

    cases: list[CaseOut]
    next: str | None = Field(description="Address of the next page; null on the last one.")


class FindingOut(BaseModel):
    """A finding that may be asked for."""

    finding: str = Field(examples=["Effusion"])
    cases: int = Field(ge=0, description="Cases in which it is present by the label file.")
    predicted: bool = Field(description="Whether the network that answers knows it.")


class FindingList(BaseModel):
    """Findings that a case has or that the network knows, by name."""

    findings: list[FindingOut]
