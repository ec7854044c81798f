"""Ratings: blinded lists of cases, readers' ratings, and the search's agreement with them."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xemplar.api.examples import CASE_ID, KEY_ID
from xemplar.api.maps import Cosine
from xemplar.api.rating_scale import MAX_RATING, RATER
from xemplar.api.results import Probability
from xemplar.api.search import Counted, Search
from xemplar.errors import InvalidArgument

MAX_RATINGS = 1000

Rater = Annotated[
    str,
    Field(
        pattern=RATER,
        description="Pseudonym that the reader chooses: a letter, then a-z, 0-9 and -.",
        examples=["reader-1"],
    ),
]


class RankingParameters(Search):
    """Parameters of ``/queries/{query_id}/ranking``."""

    rater: Rater

    @model_validator(mode="after")
    def _check_blind(self) -> Self:
        if self.prevalence:
            raise InvalidArgument(
                "prevalence would tell a rater about the cases; leave it out of a ranking"
            )
        if self.with_case:
            raise InvalidArgument(
                "cases are rated against one image; leave with_case out of a ranking"
            )
        return self


class CaseRankingParameters(RankingParameters):
    """Parameters of ``/cases/{case_id}/ranking``."""

    same_patient: bool = Field(
        False, description="Allows other images of the case's patient in the list."
    )


class CaseRating(BaseModel):
    """Rating of one case."""

    model_config = ConfigDict(extra="forbid")

    case_id: str = Field(pattern="^[0-9a-f]{16}$", examples=[CASE_ID])
    rating: Annotated[int, Counted] = Field(
        ge=0,
        le=MAX_RATING,
        description="Similarity from 0, nothing in common, to 5, practically the same image.",
    )


class RatingList(BaseModel):
    """A reader's ratings of the cases for one image."""

    model_config = ConfigDict(extra="forbid")

    ratings: list[CaseRating] = Field(max_length=MAX_RATINGS)


class RaterOwner(BaseModel):
    """New owner of a pseudonym."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(
        pattern="^[0-9a-f]{16}$", description="Id of a valid API key.", examples=[KEY_ID]
    )


class RaterOut(BaseModel):
    """Pseudonym of a reader."""

    rater: str
    key: str | None = Field(
        description="Id of the key that owns it; null if it was used before pseudonyms had owners."
    )


class RaterList(BaseModel):
    """All pseudonyms, in alphabetical order."""

    raters: list[RaterOut]


class BlindCase(BaseModel):
    """Case to be rated: only its image, so that nothing else influences the rating."""

    case_id: str
    image_url: str


class BlindList(BaseModel):
    """Blinded list of cases to be rated."""

    query_id: str = Field(description="Id for requesting the agreement after rating.")
    image_id: str = Field(
        description="Id under which ratings are stored: the first 16 hex digits of the sha256 of "
        "the query's file, like a case's id."
    )
    image_url: str
    cases: list[BlindCase] = Field(
        description="Cases in a random order that is stable for this reader."
    )
    ratings: list[CaseRating] = Field(
        description="This reader's earlier ratings for the image, including cases outside this "
        "list."
    )


class ReaderAgreement(BaseModel):
    """Agreement of the order by similarity with ratings."""

    rated: int = Field(ge=0, description="Number of cases counted: rated and still searchable.")
    ndcg: Probability | None = Field(
        description="nDCG of all rated cases ordered by similarity, with the rating as gain; null "
        "if no case is rated above 0."
    )
    random_ndcg: Probability | None = Field(
        description="Expected nDCG of a random order: the baseline."
    )


class OneReadersAgreement(ReaderAgreement):
    """Agreement with one reader."""

    rater: str


class RatedCase(BlindCase):
    """Rated case."""

    rank: int = Field(ge=1, description="Rank by similarity among the rated cases.")
    similarity: Cosine
    mean_rating: float = Field(
        ge=0, le=MAX_RATING, description="Mean over the readers who rated it."
    )


class Agreement(BaseModel):
    """Agreement of the search with all readers of an image's cases."""

    image_id: str
    cases: list[RatedCase] = Field(description="Rated cases, most similar first.")
    readers: list[OneReadersAgreement] = Field(
        description="Agreement with each reader, ordered by pseudonym."
    )
    together: ReaderAgreement = Field(
        description="Agreement with the mean ratings, computed as in `xemplar evaluate ranking`."
    )
