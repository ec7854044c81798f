"""Readers' ratings of the similarity of retrieved cases."""

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
from xemplar.catalog.table_base import UtcTime
from xemplar.catalog.tables import CaseRow, EarlierRatingRow, RaterRow, RatingRow, UnknownImageRow
from xemplar.errors import InvalidArgument, NotFound, TooManyRatings
from xemplar.operations.raters import claim

MAX_OF_KEY = 100_000
"""Ratings, including superseded ones, stored for one key's pseudonyms."""

MAX_UNKNOWN_IMAGES = 32
"""Images unknown to the service, as after a restart, that one key may rate."""


@dataclass(frozen=True)
class Rating:
    """A reader's current or superseded rating of a case retrieved for an image.

    Attributes:
        image_id: of the query image: the first 16 hex digits of its file's sha256, like a case id.
        case_id: of the rated case.
        case: numeric id in the index.
        rater: the reader's pseudonym (`xemplar.api.rating_scale.RATER`).
        rating: 0 to `xemplar.api.rating_scale.MAX_RATING`.
        rated_at: UTC.
        superseded_at: when the reader changed or withdrew it, UTC; None if current.
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

    Ratings are deleted with their case, and with their image if that is a case. Ratings of cases
    outside a caller's limits are hidden from it.
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
        """Replace a reader's ratings for an image.

        Changed ratings are stored as superseded; unchanged ones keep their time.

        Args:
            image_id: of the query.
            rater: pseudonym; claimed for the key if it was free.
            ratings: case id -> rating; empty to withdraw all.
            key: id of the caller's API key; None if the service requires no keys: then there are no
                limits.
            image_known: whether the service remembers the image.

        Returns:
            Number of previous ratings.

        Raises:
            InvalidArgument: the pseudonym is invalid, a rating is out of range, or the image is
                rated for itself.
            NotFound: a case is not in the catalog, or the key rates too many unknown images.
            PseudonymTaken: the pseudonym belongs to another key.
            TooManyRatings: the key has too many ratings. No error leaves a partial change.
        """
        _check(image_id, ratings)
        with writing(self._engine) as connection:
            claim(connection, rater, key)  # concurrent saves wait here
            mine = (RatingRow.image_id == image_id) & (RatingRow.rater == rater)
            if self._access.sources is not None:
                mine &= RatingRow.case.in_(select(CaseRow.id).where(*self._access.conditions()))
            query = select(RatingRow.case, RatingRow.rating).where(mine)
            before = {row.case: row.rating for row in connection.execute(query)}
            # locks the rated cases and the image against removal
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
        """Return the current ratings for an image, by reader and case.

        Args:
            image_id: of the query.
            seen_by: id of an API key, to return only ratings of cases rated under its pseudonyms;
                None for all.
        """
        mine = select(RatingRow.case).join(RaterRow, RaterRow.name == RatingRow.rater)
        mine = mine.where(RatingRow.image_id == image_id, RaterRow.key == seen_by)
        rated = [RatingRow.case.in_(mine)] if seen_by is not None else []
        return self._read(RatingRow, RatingRow.image_id == image_id, *rated)

    def by(self, rater: str, image_id: str) -> Sequence[Rating]:
        """Return a reader's current ratings for an image, by case."""
        return self._read(RatingRow, RatingRow.image_id == image_id, RatingRow.rater == rater)

    def all(self) -> Sequence[Rating]:
        """Return all current ratings, by image, reader and case."""
        return self._read(RatingRow)

    def history(self) -> Sequence[Rating]:
        """Return all ratings including superseded ones, by image, reader, case and time."""
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
    """Record an unknown image, unless the key has rated too many of them."""
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
    """Move ratings to the superseded ones."""
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
    """Count rows of a key's pseudonyms."""
    query = select(func.count()).select_from(table).join(RaterRow, RaterRow.name == table.rater)
    return connection.scalar(query.where(RaterRow.key == key)) or 0
