"""What goes over the wire to put cases in, to change them, and to list them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from app.questions import Filters, Names
from app.schemas import CaseOut
from xemplar.catalog.filters import MAX_AGE
from xemplar.errors import InvalidArgument
from xemplar.findings import canonical
from xemplar.store import Store

MAX_PAGE = 200

Word = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]*$"),
]
LABELS = {"present": 1, "absent": 0, "uncertain": -1}


class CaseChange(BaseModel):
    """What is known of a case. What is not named stays as it is; null forgets it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    source: Word = Field("", description="Data set or hospital.", examples=["clinic"])
    patient: Word | None = Field(
        None,
        description="The source's patient id. Only a pseudonym of it is stored, and only films of "
        "one source are recognised as one patient's. Changing the source needs it again.",
        examples=["4711"],
    )
    view: Word | None = Field(None, description="As PA, AP or LL.", examples=["PA"])
    sex: Literal["F", "M"] | None = None
    age: int | None = Field(None, ge=0, le=MAX_AGE, description="In years.")
    present: Names = Field(
        [], description="Findings that are present.", examples=[["Effusion", "Edema"]]
    )
    absent: Names = Field([], description="Findings that are absent.", examples=[["Mass"]])
    uncertain: Names = Field([], description="Findings that are uncertain.")
    split: Word | None = Field(None, description="As train, val or test.")

    @field_validator("present", "absent", "uncertain")
    @classmethod
    def _named(cls, findings: Sequence[str]) -> list[str]:
        names = [canonical(finding) for finding in findings]
        if any(not name or "\0" in name for name in names):
            raise ValueError("a finding has no name")
        return names

    def fields(self, store: Store, source: str) -> dict[str, Any]:
        """What was named, as a `Description` has it; the patient under a pseudonym.

        Naming one of the three lists of findings replaces all three.

        Args:
            store: whose key makes pseudonyms.
            source: of the case, where no new one is named.

        Raises:
            InvalidArgument: a finding stands in two lists, or a new source needs the patient again.
        """
        named = self.model_dump(exclude_unset=True)
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
            named["labels"] = self._labels()
        return named

    def _labels(self) -> dict[str, int]:
        labels: dict[str, int] = {}
        for state, value in LABELS.items():
            for finding in getattr(self, state):
                if labels.setdefault(finding, value) != value:
                    raise InvalidArgument(f"{finding[:60]!r} is {state} and something else too")
        return labels


class CaseIn(CaseChange):
    """What is known of a new case, as fields of the form that brings its film."""

    source: Word = Field(description="Data set or hospital.", examples=["clinic"])

    @field_validator("present", "absent", "uncertain", mode="before")
    @classmethod
    def _separated(cls, values: Any) -> Any:
        """Findings of a form: a repeated field, or names between commas."""
        if not isinstance(values, list):
            return values
        return [name for value in values for name in str(value).split(",")]


class CaseQuery(Filters):
    """What may stand behind ``GET /cases?``."""

    limit: int = Field(50, ge=1, le=MAX_PAGE, description="Cases on a page.")
    after: int = Field(0, ge=0, lt=2**63, description="Where the page begins; from `next`.")


class CasePage(BaseModel):
    """Some cases, those that were indexed first."""

    cases: list[CaseOut]
    next: str | None = Field(description="Address of the next page; null on the last one.")
