"""Questions: what an address may ask. Anything else is refused: it would be a misspelling."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from xemplar.api.examples import CASE_ID
from xemplar.catalog import CaseFilter
from xemplar.catalog.filters import MAX_AGE
from xemplar.retrieval.selection import (
    MAX_COUNTER_EXAMPLES,
    MAX_K,
    NEAR_DUPLICATE,
    NearDuplicates,
    Search,
)

CaseIds = Annotated[list[Annotated[str, Field(pattern="^[0-9a-f]{16}$")]], Field(max_length=100)]
Name = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]
Names = Annotated[list[Name], Field(max_length=100)]


def _no_number(value: Any) -> Any:
    try:
        float(value)
    except (TypeError, ValueError):
        return value
    raise ValueError("a time is written as 2025-01-31 or 2025-01-31T12:00:00Z")


Written = BeforeValidator(_no_number)
"""Of a date or time: pydantic would take a number too, as seconds since 1970."""


def _number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("a number is meant")  # noqa: TRY004 -- pydantic's way to refuse
    return value


Counted = BeforeValidator(_number)
"""Of a number in JSON: pydantic would take "3" and true too."""


class Filters(BaseModel):
    """Which cases are meant. Values of one parameter that may be repeated are alternatives."""

    model_config = ConfigDict(extra="forbid")

    any_of: Names = Field(
        [],
        description="Findings of which at least one is present by the label file. "
        "'No Finding' may be named. Repeatable.",
        examples=[["Effusion", "Edema"]],
    )
    all_of: Names = Field(
        [], description="Findings that are all present. Repeatable.", examples=[["Effusion"]]
    )
    none_of: Names = Field(
        [],
        description="Findings of which none is present; cases whose labels are uncertain or "
        "unknown stay. Repeatable.",
        examples=[["Pneumothorax"]],
    )
    sex: Literal["F", "M"] | None = Field(
        None, description="Cases of unknown sex are left out.", examples=["F"]
    )
    age_min: int | None = Field(
        None,
        ge=0,
        le=MAX_AGE,
        description="In years, inclusive; cases of unknown age are left out.",
        examples=[40],
    )
    age_max: int | None = Field(None, ge=0, le=MAX_AGE, description="Likewise.", examples=[60])
    view: Names = Field([], description="Any of these views. Repeatable.", examples=[["PA", "AP"]])
    source: Names = Field(
        [], description="Any of these data sets. Repeatable.", examples=[["nih14"]]
    )
    indexed_since: Annotated[date, Written] | None = Field(
        None,
        description="Day (UTC) on or after which the case was first indexed.",
        examples=["2025-01-31"],
    )
    indexed_until: Annotated[date, Written] | None = Field(
        None, description="Day (UTC) on or before which it was.", examples=["2025-12-31"]
    )

    def case_filter(self) -> CaseFilter:
        """As the domain has it.

        Raises:
            InvalidArgument: a range ends before it begins.
        """
        return CaseFilter(
            any_of=tuple(self.any_of),
            all_of=tuple(self.all_of),
            none_of=tuple(self.none_of),
            sex=self.sex,
            age_min=self.age_min,
            age_max=self.age_max,
            views=tuple(self.view),
            sources=tuple(self.source),
            indexed_since=self.indexed_since,
            indexed_until=self.indexed_until,
        )


class BatchQuestion(Filters):
    """What may stand behind ``/query/batch?``."""

    k: int = Field(5, ge=1, le=MAX_K, description="How many cases.")
    finding: str | None = Field(
        None,
        max_length=100,
        description="Finding to explain; the most probable one if not named.",
        examples=["Effusion"],
    )
    exclude: CaseIds = Field(
        [],
        description="Case ids that must not be in the answer. Repeatable.",
        examples=[[CASE_ID]],
    )
    exclude_patient_of: CaseIds = Field(
        [],
        description="Case ids whose patients' images must not be in the answer. Repeatable.",
        examples=[[CASE_ID]],
    )
    min_similarity: float = Field(
        -1, ge=-1, le=1, description="Less similar cases are not shown.", examples=[0.5]
    )
    diversity: float = Field(
        0,
        ge=0,
        le=1,
        description="0: the most similar cases; towards 1: cases less like one another (maximal "
        "marginal relevance), in the order in which they were chosen.",
        examples=[0.3],
    )
    near_duplicates: NearDuplicates = Field(
        "keep",
        description=f"'drop': no case whose cosine to the query, or to a case chosen before it, "
        f"is above {NEAR_DUPLICATE}: hardly another image, most likely. With 'keep', too, cases "
        "that show the same image take one place.",
    )
    one_per_patient: bool = Field(
        False,
        description="Whether each patient is shown at most once; unknown patients count as "
        "different ones.",
    )
    counter_examples: int = Field(
        0,
        ge=0,
        le=MAX_COUNTER_EXAMPLES,
        description="How many of the most similar cases known not to have the explained finding "
        "are shown too. Filters on findings do not apply to them, all others do.",
        examples=[3],
    )

    def search(self) -> Search:
        """As the domain has it.

        Raises:
            InvalidArgument: a range ends before it begins.
        """
        return Search(
            k=self.k,
            finding=self.finding,
            exclude=tuple(self.exclude),
            exclude_patient_of=tuple(self.exclude_patient_of),
            filter=self.case_filter(),
            min_similarity=self.min_similarity,
            diversity=self.diversity,
            near_duplicates=self.near_duplicates,
            one_per_patient=self.one_per_patient,
            counter_examples=self.counter_examples,
        )


class Question(BatchQuestion):
    """What may stand behind ``/query?``."""

    include: Literal["overlays", "maps"] | None = Field(
        None,
        description="'overlays': pictures as data URIs; 'maps': the numbers that they are drawn "
        "from.",
    )


class SimilarQuestion(Question):
    """What may stand behind ``/cases/{case_id}/similar?``."""

    same_patient: bool = Field(
        False, description="Whether other images of the case's patient may be in the answer."
    )
