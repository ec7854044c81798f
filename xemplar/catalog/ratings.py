"""Readers' ratings: how similar the cases found for a film are, in the eyes of those who look."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Engine, delete, insert, select

from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import CaseRow, RatingRow
from xemplar.errors import InvalidArgument, NotFound
from xemplar.ratings import MAX_RATING, RATER


@dataclass(frozen=True)
class Rating:
    """What one reader says of one case found for a film.

    Attributes:
        film_id: of the query: the first 16 hex digits of its file's sha256, as a case's id.
        case_id: of the rated case.
        case: its number in the index.
        rater: the reader's pseudonym (`xemplar.ratings.RATER`).
        rating: 0 to `xemplar.ratings.MAX_RATING`.
        rated_at: UTC.
    """

    film_id: str
    case_id: str
    case: int
    rater: str
    rating: int
    rated_at: datetime


class Ratings:
    """The ratings in the catalog's database. Safe to share between threads.

    They go with their case when it is removed. The query's film need not be a case.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, film_id: str, rater: str, ratings: Mapping[str, int]) -> int:
        """Keep all that a reader says of a film's cases, in place of what they said before.

        Args:
            film_id: of the query.
            rater: pseudonym.
            ratings: case id -> rating; none at all forgets the earlier ones.

        Returns:
            How many there were before.

        Raises:
            InvalidArgument: no pseudonym, a rating out of its range, or the film rated for itself.
            NotFound: a case is not in the catalog. Nothing is changed then.
        """
        _check(film_id, rater, ratings)
        with writing(self._engine) as connection:
            # locked, so that of two savings at once one is the last: whole lists, never a mixture
            query = select(CaseRow.case_id, CaseRow.id).where(CaseRow.case_id.in_(ratings))
            query = query.order_by(CaseRow.id).with_for_update(key_share=True)
            cases = {row.case_id: row.id for row in connection.execute(query)}
            unknown = sorted(ratings.keys() - cases.keys())
            if unknown:
                raise NotFound(
                    f"there is no case {unknown[0][:64]!r} in the catalog to be rated; open the "
                    "list again, as cases may have been removed meanwhile"
                )
            mine = (RatingRow.film_id == film_id) & (RatingRow.rater == rater)
            before = connection.execute(delete(RatingRow).where(mine)).rowcount
            about = {"film_id": film_id, "rater": rater, "rated_at": datetime.now(UTC)}
            rows = [{"case": cases[name], "rating": r, **about} for name, r in ratings.items()]
            if rows:
                connection.execute(insert(RatingRow), rows)
        return before

    def of(self, film_id: str) -> Sequence[Rating]:
        """All ratings for a film, by reader and case."""
        return self._read(RatingRow.film_id == film_id)

    def all(self) -> Sequence[Rating]:
        """All ratings, by film, reader and case."""
        return self._read()

    def _read(self, *conditions: ColumnElement[bool]) -> Sequence[Rating]:
        names = [field.name for field in fields(Rating)]
        columns = [CaseRow.case_id if n == "case_id" else getattr(RatingRow, n) for n in names]
        query = select(*columns).join(CaseRow, CaseRow.id == RatingRow.case).where(*conditions)
        order = (RatingRow.film_id, RatingRow.rater, CaseRow.case_id)
        with reading(self._engine) as connection:
            return [Rating(*row) for row in connection.execute(query.order_by(*order))]


def _check(film_id: str, rater: str, ratings: Mapping[str, int]) -> None:
    if not re.fullmatch(RATER, rater):
        raise InvalidArgument(
            f"{rater[:60]!r} is no pseudonym of a reader; choose 1 to 32 of a-z, 0-9 and -, a "
            "letter first"
        )
    if film_id in ratings:
        raise InvalidArgument(f"case {film_id} is rated for itself; leave it out")
    for case_id, rating in ratings.items():
        if not 0 <= rating <= MAX_RATING:
            raise InvalidArgument(
                f"rating {rating} of case {case_id[:64]} is not between 0 and {MAX_RATING}"
            )
