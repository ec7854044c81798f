"""Readers' ratings: how similar the cases found for an image are, in the eyes of those who look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    delete,
    func,
    insert,
    literal,
    null,
    select,
)

from xemplar.api.rating_scale import MAX_RATING
from xemplar.catalog.access import EVERYTHING, Access
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import (
    CaseRow,
    EarlierRatingRow,
    RaterRow,
    RatingRow,
    UnknownImageRow,
    UtcTime,
)
from xemplar.errors import InvalidArgument, NotFound, TooManyRatings
from xemplar.operations.raters import claim

MAX_OF_KEY = 100_000
"""Ratings, earlier ones too, that are kept of one key's pseudonyms."""

MAX_UNKNOWN_IMAGES = 32
"""Images that one key may rate though the service knows nothing of them, as after a restart."""


@dataclass(frozen=True)
class Rating:
    """What one reader says, or said, of one case found for an image.

    Attributes:
        image_id: of the query: the first 16 hex digits of its file's sha256, as a case's id.
        case_id: of the rated case.
        case: its number in the index.
        rater: the reader's pseudonym (`xemplar.api.rating_scale.RATER`).
        rating: 0 to `xemplar.api.rating_scale.MAX_RATING`.
        rated_at: UTC.
        superseded_at: when the reader changed it or took it back, UTC; None while it holds.
    """

    image_id: str
    case_id: str
    case: int
    rater: str
    rating: int
    rated_at: datetime
    superseded_at: datetime | None = None


class Ratings:
    """The ratings in the catalog's database. Safe to share between threads.

    They go with their case when it is removed, and with their image where that is a case. Those of
    cases beyond a caller's limits do not exist for it.
    """

    def __init__(self, engine: Engine, access: Access = EVERYTHING) -> None:
        self._engine = engine
        self._access = access

    def save(
        self,
        image_id: str,
        rater: str,
        ratings: Mapping[str, int],
        *,
        key: str | None = None,
        image_known: bool = False,
    ) -> int:
        """Keep all that a reader says of an image's cases, in place of what they said before.

        What changes is kept as an earlier rating; what stays keeps its time.

        Args:
            image_id: of the query.
            rater: pseudonym; from now on the key's, if it was free.
            ratings: case id -> rating; none at all takes the earlier ones back.
            key: id of the API key that saves; None where no key is asked for: there are no limits.
            image_known: the service remembers the image.

        Returns:
            How many there were before.

        Raises:
            InvalidArgument: no pseudonym, a rating out of its range, or the image rated for itself.
            NotFound: a case is not in the catalog, or nothing is known of one image too many.
            PseudonymTaken: the pseudonym is not this key's.
            TooManyRatings: of this key. Nothing is changed then, nor where anything else is raised.
        """
        _check(image_id, ratings)
        with writing(self._engine) as connection:
            claim(connection, rater, key)  # of two savings at once the second waits here
            mine = (RatingRow.image_id == image_id) & (RatingRow.rater == rater)
            if self._access.sources is not None:
                mine &= RatingRow.case.in_(select(CaseRow.id).where(*self._access.conditions()))
            query = select(RatingRow.case, RatingRow.rating).where(mine)
            before = {row.case: row.rating for row in connection.execute(query)}
            # a case that is rated, or was, is not removed meanwhile, nor is the image
            wanted = CaseRow.case_id.in_([image_id, *ratings]) | CaseRow.id.in_(before)
            held = select(CaseRow.case_id, CaseRow.id).where(wanted, *self._access.conditions())
            held = held.order_by(CaseRow.id).with_for_update(key_share=True)
            cases = {row.case_id: row.id for row in connection.execute(held)}
            _check_cases(ratings, cases)
            if image_known or image_id in cases:
                connection.execute(delete(UnknownImageRow).where(_unknown(image_id, rater)))
            elif ratings and not before and key is not None:
                _allow_unknown(connection, image_id, rater, key)
            said = {cases[name]: rating for name, rating in ratings.items()}
            gone = [case for case, rating in before.items() if said.get(case) != rating]
            now = datetime.now(UTC)
            _supersede(connection, mine & RatingRow.case.in_(gone), now)
            about = {"image_id": image_id, "rater": rater, "rated_at": now}
            rows = [
                {"case": c, "rating": r, **about} for c, r in said.items() if before.get(c) != r
            ]
            if rows:
                connection.execute(insert(RatingRow), rows)
                _check_limit(connection, key)
        return len(before)

    def of(self, image_id: str, *, seen_by: str | None = None) -> Sequence[Rating]:
        """Ratings for an image that hold, by reader and case.

        Args:
            image_id: of the query.
            seen_by: id of an API key; of cases alone that are rated under its pseudonyms. None:
                all.
        """
        mine = select(RatingRow.case).join(RaterRow, RaterRow.name == RatingRow.rater)
        mine = mine.where(RatingRow.image_id == image_id, RaterRow.key == seen_by)
        rated = [RatingRow.case.in_(mine)] if seen_by is not None else []
        return self._read(RatingRow, RatingRow.image_id == image_id, *rated)

    def by(self, rater: str, image_id: str) -> Sequence[Rating]:
        """Ratings of one reader for an image that hold, by case."""
        return self._read(RatingRow, RatingRow.image_id == image_id, RatingRow.rater == rater)

    def all(self) -> Sequence[Rating]:
        """All ratings that hold, by image, reader and case."""
        return self._read(RatingRow)

    def history(self) -> Sequence[Rating]:
        """All ratings, earlier ones too, by image, reader, case and time."""
        found = [*self._read(RatingRow), *self._read(EarlierRatingRow)]
        return sorted(found, key=lambda one: (one.image_id, one.rater, one.case_id, one.rated_at))

    def _read(
        self, table: type[RatingRow | EarlierRatingRow], *conditions: ColumnElement[bool]
    ) -> Sequence[Rating]:
        columns = [
            CaseRow.case_id if field.name == "case_id" else getattr(table, field.name, null())
            for field in fields(Rating)
        ]
        query = select(*columns).join(CaseRow, CaseRow.id == table.case)
        query = query.where(*conditions, *self._access.conditions())
        order = (table.image_id, table.rater, CaseRow.case_id)
        with reading(self._engine) as connection:
            return [Rating(*row) for row in connection.execute(query.order_by(*order))]


def _check(image_id: str, ratings: Mapping[str, int]) -> None:
    if image_id in ratings:
        raise InvalidArgument(f"case {image_id} is rated for itself; leave it out")
    for case_id, rating in ratings.items():
        if not 0 <= rating <= MAX_RATING:
            raise InvalidArgument(
                f"rating {rating} of case {case_id[:64]} is not between 0 and {MAX_RATING}"
            )


def _check_cases(ratings: Mapping[str, int], cases: Mapping[str, int]) -> None:
    unknown = sorted(ratings.keys() - cases.keys())
    if unknown:
        raise NotFound(
            f"there is no case {unknown[0][:64]!r} in the catalog to be rated; open the list "
            "again, as cases may have been removed meanwhile"
        )


def _unknown(image_id: str, rater: str) -> ColumnElement[bool]:
    return (UnknownImageRow.image_id == image_id) & (UnknownImageRow.rater == rater)


def _allow_unknown(connection: Connection, image_id: str, rater: str, key: str) -> None:
    """Note an image that the service knows nothing of, unless the key has rated enough of them."""
    if (
        connection.scalar(select(UnknownImageRow.rater).where(_unknown(image_id, rater)))
        is not None
    ):
        return
    if _count(connection, UnknownImageRow, key) >= MAX_UNKNOWN_IMAGES:
        raise NotFound(
            f"nothing is known of the image {image_id[:64]}, and this key has rated "
            f"{MAX_UNKNOWN_IMAGES} such images, which is the limit; send the image again, then "
            "save "
            "its ratings"
        )
    connection.execute(insert(UnknownImageRow).values(image_id=image_id, rater=rater))


def _supersede(connection: Connection, which: ColumnElement[bool], now: datetime) -> None:
    """Move ratings to the earlier ones."""
    names = ("image_id", "rater", "case", "rating", "rated_at")
    moved = select(*(getattr(RatingRow, name) for name in names), literal(now, UtcTime()))
    earlier = insert(EarlierRatingRow).from_select([*names, "superseded_at"], moved.where(which))
    connection.execute(earlier)
    connection.execute(delete(RatingRow).where(which))


def _check_limit(connection: Connection, key: str | None) -> None:
    if key is None:
        return
    kept = _count(connection, RatingRow, key) + _count(connection, EarlierRatingRow, key)
    if kept > MAX_OF_KEY:
        raise TooManyRatings(
            f"of one key {MAX_OF_KEY:,} ratings are kept, earlier ones too, and this would make "
            f"{kept:,}; ask an administrator for another key"
        )


def _count(
    connection: Connection, table: type[RatingRow | EarlierRatingRow | UnknownImageRow], key: str
) -> int:
    """Rows of a key's pseudonyms."""
    query = select(func.count()).select_from(table).join(RaterRow, RaterRow.name == table.rater)
    return connection.scalar(query.where(RaterRow.key == key)) or 0
