"""Ratings: the list that a reader rates blind, what they say of it, and how the search agrees."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from xemplar.api.examples import CASE_ID, KEY_ID
from xemplar.api.rating_scale import MAX_RATING, RATER
from xemplar.api.results import Cosine, Probability
from xemplar.api.search import Counted, Search

MAX_RATINGS = 1000

Rater = Annotated[
    str,
    Field(
        pattern=RATER,
        description="Pseudonym of the reader, chosen by them: a letter, then a-z, 0-9 and -.",
        examples=["reader-1"],
    ),
]


class RankingParameters(Search):
    """What may stand behind ``/queries/{query_id}/ranking?``."""

    rater: Rater


class CaseRankingParameters(RankingParameters):
    """What may stand behind ``/cases/{case_id}/ranking?``."""

    same_patient: bool = Field(
        False, description="Whether other images of the case's patient may be in the list."
    )


class CaseRating(BaseModel):
    """What a reader says of one case."""

    model_config = ConfigDict(extra="forbid")

    case_id: str = Field(pattern="^[0-9a-f]{16}$", examples=[CASE_ID])
    rating: Annotated[int, Counted] = Field(
        ge=0,
        le=MAX_RATING,
        description="How similar: 0, nothing in common, to 5, as good as the same picture.",
    )


class RatingList(BaseModel):
    """What a reader says of the cases of one image."""

    model_config = ConfigDict(extra="forbid")

    ratings: list[CaseRating] = Field(max_length=MAX_RATINGS)


class RaterOwner(BaseModel):
    """Whom a pseudonym is given to."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(
        pattern="^[0-9a-f]{16}$", description="Id of a key that is good.", examples=[KEY_ID]
    )


class RaterOut(BaseModel):
    """A reader's pseudonym."""

    rater: str
    key: str | None = Field(
        description="Id of the key that it belongs to; null: used before pseudonyms had owners."
    )


class RaterList(BaseModel):
    """All pseudonyms, by name."""

    raters: list[RaterOut]


class BlindCase(BaseModel):
    """A case to be rated: its image alone, so that nothing else speaks for or against it."""

    case_id: str
    image_url: str


class BlindList(BaseModel):
    """Cases to be rated."""

    query_id: str = Field(description="To ask how the search agrees, once they are rated.")
    image_id: str = Field(
        description="Under which ratings are kept: the first 16 hex digits of the sha256 of the "
        "query's file, as a case's id."
    )
    image_url: str
    cases: list[BlindCase] = Field(
        description="In a random order, which stays the same for this reader."
    )
    ratings: list[CaseRating] = Field(
        description="What this reader has said before of this image's cases, also of others than "
        "these."
    )


class ReaderAgreement(BaseModel):
    """How the order by similarity agrees with ratings."""

    rated: int = Field(ge=0, description="Cases that count: rated, and still searchable.")
    ndcg: Probability | None = Field(
        description="Of all rated cases in the order of their similarity, with the rating as "
        "gain; null where all are rated 0, or none."
    )
    random_ndcg: Probability | None = Field(
        description="The same, on average over all orders: what says nothing scores so much."
    )


class OneReadersAgreement(ReaderAgreement):
    """With one reader."""

    rater: str


class RatedCase(BlindCase):
    """A case that somebody has rated."""

    rank: int = Field(ge=1, description="By similarity, among the rated cases.")
    similarity: Cosine
    mean_rating: float = Field(ge=0, le=MAX_RATING, description="Over those who rated it.")


class Agreement(BaseModel):
    """How the search agrees with those who have rated an image's cases."""

    image_id: str
    cases: list[RatedCase] = Field(description="The most similar one first.")
    readers: list[OneReadersAgreement] = Field(description="By pseudonym.")
    together: ReaderAgreement = Field(
        description="With the mean ratings, as `xemplar evaluate ranking` has it."
    )
