"""Cases: what is said of one to put it in or change it, and how they are listed."""

from collections.abc import Collection
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
from xemplar.api.search import Counted, Filters
from xemplar.archive.store import Store
from xemplar.catalog.filters import MAX_AGE
from xemplar.data.findings import canonical, known_finding
from xemplar.data.names import CONTROLS, name_problem
from xemplar.data.views import VIEWS, parse_view, unknown_view_message
from xemplar.errors import InvalidArgument

MAX_PAGE = 200


def _without_controls(text: str) -> str:
    if fault := name_problem(text):
        raise ValueError(fault)
    return text


WITHOUT_CONTROLS = AfterValidator(_without_controls)
"""Of a text that is kept: control characters are refused (see `xemplar.data.names`)."""

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

    def fields(self, store: Store, source: str, known: Collection[str]) -> dict[str, Any]:
        """What was named, as a `Description` has it; the patient under a pseudonym.

        Naming one of the three lists of findings replaces all three.

        Args:
            store: whose key makes pseudonyms.
            source: of the case, where no new one is named.
            known: findings that may be named.

        Raises:
            UnknownFinding: one that is not known; naming the nearest that are.
            InvalidArgument: an unknown view, a finding in two lists, or a new source that needs
                the patient again.
        """
        named = self.model_dump(exclude_unset=True)
        if self.view is not None:
            named["view"] = parse_view(self.view)
            if named["view"] is None:
                raise InvalidArgument(unknown_view_message(self.view))
        moved = named.get("source", source) != source
        if "patient" in named and self.patient is not None:
            named["patient"] = store.pseudonym(self.source or source, self.patient)
        elif moved and "patient" not in named:
            raise InvalidArgument(
                "a patient is known within one source; name the patient again, or null, with the "
                "new source"
            )
        if LABELS.keys() & named.keys():
            named = {name: value for name, value in named.items() if name not in LABELS}
            named["labels"] = self._labels(known)
        return named

    def _labels(self, known: Collection[str]) -> dict[str, int]:
        labels: dict[str, int] = {}
        for state, value in LABELS.items():
            for name in getattr(self, state):
                finding = known_finding(name, known)
                if labels.setdefault(finding, value) != value:
                    raise InvalidArgument(f"{finding[:60]!r} is {state} and something else too")
        return labels


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

    def fields(self, store: Store, source: str, known: Collection[str]) -> dict[str, Any]:
        """As `CaseChange.fields`; which images are taken is no part of a description."""
        named = super().fields(store, source, known) | {"source": source}
        return {name: value for name, value in named.items() if name not in INSISTED}

    @field_validator("present", "absent", "uncertain", mode="before")
    @classmethod
    def _separated(cls, values: Any) -> Any:
        """Findings of a form: a repeated field, or names between commas."""
        if not isinstance(values, list):
            return values
        return [name for value in values for name in str(value).split(",") if name.strip()]


class CaseQuery(Filters):
    """What may stand behind ``GET /cases?``."""

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
