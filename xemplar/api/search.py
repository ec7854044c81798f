"""Search parameters: the one model behind HTTP parameters, CLI options and retrieval.

`CaseFilter` selects cases; `Search` adds what to return and explain. The service, `xemplar query`,
`xemplar.Client` and `xemplar.retrieval` all use these classes, so a parameter is declared once.
Unknown names are refused: they would be misspellings.
"""

from datetime import date
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from annotated_types import Ge, Le
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticKnownError

from xemplar.api.examples import CASE_ID, QUERY_ID
from xemplar.data.findings import canonical
from xemplar.errors import InvalidArgument
from xemplar.reports.terms import MOST_CHARACTERS, wanted

MAX_AGE = 120
"""Years; higher ages in data sets are treated as typing errors and dropped."""

MAX_K = 100
MAX_COUNTER_EXAMPLES = 20

NEAR_DUPLICATE = 0.97
"""Cosine above which ``near_duplicates="drop"`` skips a case.

Measured by `benchmarks/near_duplicates.py` with the shipped checkpoint: no two different images of
adults are this similar, but a quarter of the children's images have such a neighbour. Whether two
files show the same image is a separate question, answered by their pixels
(`xemplar.retrieval.duplicates`).
"""

SHOWN = 60
"""Characters of a refused value that an error message shows."""

NearDuplicates: TypeAlias = Literal["keep", "drop"]

FRACTION = r"(0(\.[0-9]{1,9})?|1(\.0{1,9})?)"
OF_AN_IMAGE = (
    *("finding", "min_similarity", "diversity", "exact", "like", "unlike", "region"),
    *("counter_examples", "with_case", "with_query", "include"),
)
"""Parameters that say nothing where a search has words alone."""

MAX_IMAGES = 10
"""Images of one question."""

LEAST_SIDE = 0.02
"""Shortest side of a region, as a fraction of the image's."""

MAX_VALUES = 100
"""Values of one repeated parameter."""


def _few(values: Any) -> Any:
    # before the values themselves: a message about each of a thousand would be no help
    if isinstance(values, list | tuple) and len(values) > MAX_VALUES:
        raise PydanticKnownError(
            "too_long",
            {"field_type": "Tuple", "max_length": MAX_VALUES, "actual_length": len(values)},
        )
    return values


FEW = (Field(max_length=MAX_VALUES), BeforeValidator(_few))

CaseIds = Annotated[tuple[Annotated[str, Field(pattern="^[0-9a-f]{16}$")], ...], *FEW]
OtherImages = Annotated[
    tuple[Annotated[str, Field(pattern="^[0-9a-f]{16}$")], ...], Field(max_length=MAX_IMAGES - 1)
]
Name = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]
Names = Annotated[tuple[Name, ...], *FEW]
FindingNames = Annotated[tuple[Annotated[Name, AfterValidator(canonical)], ...], *FEW]
Views = Annotated[tuple[Annotated[Name, AfterValidator(str.upper)], ...], *FEW]


def _not_a_number(value: Any) -> Any:
    try:
        float(value)
    except (TypeError, ValueError):
        return value
    raise ValueError("a time is written as 2025-01-31 or 2025-01-31T12:00:00Z")


Written = BeforeValidator(_not_a_number)
"""For dates and times: pydantic alone would accept a number, as seconds since 1970."""


def _number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("a number is meant")  # noqa: TRY004 -- pydantic's way to refuse
    return value


Counted = BeforeValidator(_number)
"""For numbers in JSON: pydantic alone would accept "3" and true."""


class CaseFilter(BaseModel):
    """Conditions that a case must all meet; the default matches every case.

    Values that are missing from the label file match no condition on them: a case of unknown age is
    outside every age range. Finding names are canonical (`xemplar.data.findings`), and views
    upper-case, after validation.

    Raises:
        InvalidArgument: a value is out of range or malformed, a name is unknown, or a range ends
            before it begins. Where a service validates a request (`model_validate`), pydantic's
            `ValidationError` instead, except for a range that ends before it begins.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    any_of: FindingNames = Field(
        (),
        description="Findings of which at least one is present by the label file. "
        "'No Finding' may be named. Repeatable.",
        examples=[["Effusion", "Edema"]],
    )
    all_of: FindingNames = Field(
        (), description="Findings that are all present. Repeatable.", examples=[["Effusion"]]
    )
    none_of: FindingNames = Field(
        (),
        description="Findings of which none is present; cases whose labels are uncertain or "
        "unknown stay. Repeatable.",
        examples=[["Pneumothorax"]],
    )
    sex: Literal["F", "M"] | None = Field(
        None, description="Excludes cases of unknown sex.", examples=["F"]
    )
    age_min: int | None = Field(
        None,
        ge=0,
        le=MAX_AGE,
        description="In years, inclusive; excludes cases of unknown age.",
        examples=[40],
    )
    age_max: int | None = Field(
        None,
        ge=0,
        le=MAX_AGE,
        description="In years, inclusive; excludes cases of unknown age.",
        examples=[60],
    )
    view: Views = Field((), description="Any of these views. Repeatable.", examples=[["PA", "AP"]])
    source: Names = Field(
        (), description="Any of these data sets. Repeatable.", examples=[["nih14"]]
    )
    indexed_since: Annotated[date, Written] | None = Field(
        None,
        description="Day (UTC) on or after which the case was first indexed.",
        examples=["2025-01-31"],
    )
    indexed_until: Annotated[date, Written] | None = Field(
        None,
        description="Day (UTC) on or before which the case was first indexed.",
        examples=["2025-12-31"],
    )

    says: str | None = Field(
        None,
        max_length=MOST_CHARACTERS,
        description="Words that the case's report says, all of them; 'no effusion' finds reports "
        "that deny one. Excludes cases without a report.",
        examples=["effusion without pneumothorax"],
    )

    if not TYPE_CHECKING:  # type checkers see the fields as keyword arguments

        def __init__(self, **values: Any) -> None:
            """Raises errors of this library, not pydantic's."""
            try:
                super().__init__(**values)
            except ValidationError as error:
                wrong = (_refusal(type(self), one) for one in error.errors())
                raise InvalidArgument("; ".join(wrong)) from error

        # pydantic (as in its RootModel): requests are validated without this constructor, so that
        # FastAPI sees a ValidationError and answers with the name of each wrong parameter
        __init__.__pydantic_base_init__ = True

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for first, last in (("age_min", "age_max"), ("indexed_since", "indexed_until")):
            begin, end = getattr(self, first), getattr(self, last)
            if begin is not None and end is not None and begin > end:
                raise InvalidArgument(f"{first} is {begin}, which is after {last} {end}")
        if self.says is not None and wanted(self.says).unknown:
            raise InvalidArgument(
                "says has words that no report holds, as reports keep only words of English chest "
                "reports; leave them out"
            )
        return self

    @property
    def terms(self) -> tuple[str, ...]:
        """Terms of ``says`` (`xemplar.reports.terms`)."""
        return () if self.says is None else wanted(self.says).terms

    @property
    def findings(self) -> frozenset[str]:
        """All findings whose presence the filter tests."""
        return frozenset((*self.any_of, *self.all_of, *self.none_of))

    @property
    def matches_all(self) -> bool:
        """True if no condition excludes any case."""
        fields = CaseFilter.model_fields
        return all(getattr(self, name) == field.default for name, field in fields.items())


class Search(CaseFilter):
    """Search for similar cases: the filter, how many to return, and what to explain."""

    k: int = Field(5, ge=1, le=MAX_K, description="Number of cases.")
    finding: str | None = Field(
        None,
        max_length=100,
        description="Finding to explain; by default the one with the highest lift.",
        examples=["Effusion"],
    )
    exclude: CaseIds = Field(
        (),
        description="Ids of cases to leave out. Repeatable.",
        examples=[[CASE_ID]],
    )
    exclude_patient_of: CaseIds = Field(
        (),
        description="Ids of cases whose patients' images are left out; of an unknown patient, the "
        "case alone. Repeatable.",
        examples=[[CASE_ID]],
    )
    min_similarity: float = Field(
        -1, ge=-1, le=1, description="Leaves out less similar cases.", examples=[0.5]
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
        description="'drop' leaves out cases whose cosine to the query, or to a case chosen "
        f"earlier, exceeds {NEAR_DUPLICATE}: most likely the same image. With 'keep', too, cases "
        "that show the same image appear once.",
    )
    one_per_patient: bool = Field(
        False,
        description="Shows each patient at most once, and names the patient's other cases "
        "(more_of_patient); cases of unknown patients count as different patients.",
    )
    exact: bool = Field(
        False,
        description="Compares all matching cases, which takes longer in an index of more than "
        "100,000 cases.",
    )
    with_case: OtherImages = Field(
        (),
        description="Ids of cases whose images belong to the question, beside its own; each counts "
        f"as much, and there are at most {MAX_IMAGES}. They and their patients are left out. "
        "Repeatable.",
        examples=[[CASE_ID]],
    )
    like: CaseIds = Field(
        (),
        description="Ids of cases that the results should be more like; they are left out. "
        "Repeatable.",
        examples=[[CASE_ID]],
    )
    unlike: CaseIds = Field(
        (),
        description="Ids of cases that the results should be less like; they are left out. "
        "Repeatable.",
        examples=[[CASE_ID]],
    )
    region: str | None = Field(
        None,
        pattern=f"^{FRACTION}(,{FRACTION}){{3}}$",
        description="Part of the image to search with: left, top, right and bottom, as fractions "
        "of its width and height.",
        examples=["0.1,0.5,0.4,0.9"],
    )
    prevalence: bool = Field(
        False,
        description="Adds how often findings and verified outcomes occur among the cases found, "
        "beside all cases that match.",
    )
    text: str | None = Field(
        None,
        max_length=MOST_CHARACTERS,
        description="Words to search for in reports, beside the image or alone. Beside it, the two "
        "rankings are fused by reciprocal rank, and each case says its rank in both.",
        examples=["left effusion with cardiomegaly"],
    )
    counter_examples: int = Field(
        0,
        ge=0,
        le=MAX_COUNTER_EXAMPLES,
        description="Number of the most similar cases known not to have the explained finding, "
        "shown as well. Filters on findings do not apply to them, all others do.",
        examples=[3],
    )

    @model_validator(mode="after")
    def _check_steering(self) -> Self:
        if self.text is not None and self.diversity:
            raise InvalidArgument("text cannot be combined with diversity; leave one of them out")
        for one, other in combinations(("like", "unlike", "with_case"), 2):
            both = sorted({*getattr(self, one)} & {*getattr(self, other)})
            if both:
                raise InvalidArgument(
                    f"case {both[0]} is in both {one} and {other}; choose one of them"
                )
        if self.box is not None:
            left, top, right, bottom = self.box
            if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
                raise InvalidArgument(
                    f"region is {self.region}; right must be at least {LEAST_SIDE} more than left, "
                    "and bottom than top"
                )
        return self

    def check_without_image(self) -> None:
        """Check that a search by words alone has words, and nothing that needs an image.

        Raises:
            InvalidArgument: it has no text, or parameters of `OF_AN_IMAGE`.
        """
        if self.text is None:
            raise InvalidArgument(
                "a search needs an image, or words in text, such as text=left effusion"
            )
        named = self.model_dump(exclude_defaults=True).keys()
        needing = [name for name in OF_AN_IMAGE if name in named]
        if needing:
            raise InvalidArgument(
                f"{', '.join(needing)} cannot be used without an image; leave it out, or send an "
                "image beside the text"
            )

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """The region's left, top, right and bottom as fractions of the image; None without one."""
        if self.region is None:
            return None
        left, top, right, bottom = map(float, self.region.split(","))
        return left, top, right, bottom


class QueryParameters(Search):
    """Parameters of ``/query`` and of ``/queries/{query_id}/similar``."""

    include: Literal["overlays", "maps"] | None = Field(
        None,
        description="'overlays': images as data URIs; 'maps': the numbers from which they are "
        "drawn.",
    )
    with_query: OtherImages = Field(
        (),
        description="Ids of queries whose images belong to the question, while they are "
        "remembered; otherwise as `with_case`. Repeatable.",
        examples=[[QUERY_ID]],
    )


class SimilarParameters(QueryParameters):
    """Parameters of ``/cases/{case_id}/similar``."""

    same_patient: bool = Field(
        False, description="Allows other images of the case's patient, and of `with_case`'s."
    )


def _refusal(model: type[BaseModel], error: ErrorDetails) -> str:
    """Describes one refused value: its name, the value, and the limits."""
    value = repr(error["input"])
    shown = value if len(value) <= SHOWN else f"{value[:SHOWN]}..."
    named = f"{'.'.join(map(str, error['loc']))} is {shown}"
    field = model.model_fields.get(str(error["loc"][0]))
    limits: dict[type, Any] = {type(limit): limit for limit in field.metadata} if field else {}
    if Ge in limits and Le in limits and {"ge", "le"} & error.get("ctx", {}).keys():
        return f"{named}; it must be from {limits[Ge].ge} to {limits[Le].le}"
    return f"{named}: {error['msg']}"
