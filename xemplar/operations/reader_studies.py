"""Reader studies in the catalog's database: locked plans, and readings that never change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, func, insert, select

from xemplar.api.reader_studies import MOST_SECONDS
from xemplar.catalog.access import EVERYTHING, Access
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import CaseRow, ReaderStudyRow, ReadingRow
from xemplar.errors import ConfigurationError, InvalidArgument, NotFound, ReadingGiven
from xemplar.operations.raters import Raters, claim
from xemplar.operations.study_plan import Arm, StudyFilm, StudyPlan

AT_ONCE = 500
"""Cases named by one SQL statement: databases limit the number of parameters."""


@dataclass(frozen=True)
class ReadingAnswer:
    """A reader's answer about one film.

    Attributes:
        confidence: 0, surely absent, to 100, surely present.
        trust: how far the reader relied on the cases, 0 to 100; None where that is not asked.
        seconds: time that the film was on the screen.
    """

    confidence: int
    trust: int | None
    seconds: float


@dataclass(frozen=True)
class StudyReading:
    """A reading that was given.

    Attributes:
        reader: pseudonym.
        number: of the reading among all of the reader's, from 0.
        said: the answer.
        read_at: UTC.
    """

    reader: str
    number: int
    said: ReadingAnswer
    read_at: datetime


@dataclass(frozen=True)
class NextReading:
    """The film that a reader reads next.

    Attributes:
        number: of the reading, from 0; None when all are given.
        total: of the reader's readings.
        session: from 0.
        film: None when all are given.
        arm: likewise; never shown to the reader.
        cases: case ids to show beside the film.
        opens_at: end of the washout, UTC; None if the film may be read now.
    """

    number: int | None
    total: int
    session: int = 0
    film: StudyFilm | None = None
    arm: Arm | None = None
    cases: tuple[str, ...] = ()
    opens_at: datetime | None = None


class ReaderStudies:
    """The reader studies of a database. Safe to share between threads.

    Args:
        engine: of the catalog's database.
        access: films outside it do not exist for the caller.
    """

    def __init__(self, engine: Engine, access: Access = EVERYTHING) -> None:
        self._engine = engine
        self._access = access

    def open(self, plan: StudyPlan) -> str:
        """Open a study for its readers, unless it is open; return its id.

        Raises:
            ConfigurationError: a film or case of the plan is not in the catalog.
        """
        named = {one for film in plan.films for shown in film.cases.values() for one in shown}
        named |= {film.case_id for film in plan.films}
        with reading(self._engine) as connection:
            missing = sorted(named - self._existing(connection, named))
        if missing:
            raise ConfigurationError(
                f"{len(missing):,} of {len(named):,} films and cases of the plan are not in this "
                f"catalog, such as {missing[0]}; name the store that the study was planned with"
            )
        with writing(self._engine) as connection:
            there = select(ReaderStudyRow.id).where(ReaderStudyRow.id == plan.study_id)
            if connection.scalar(there) is None:
                row = {"id": plan.study_id, "sha256": plan.digest, "opened_at": datetime.now(UTC)}
                content = plan.model_dump(mode="json")
                connection.execute(insert(ReaderStudyRow).values(**row, plan=content))
        return plan.study_id

    def plans(self) -> Mapping[str, StudyPlan]:
        """Return all open studies, the latest first."""
        query = select(ReaderStudyRow).order_by(ReaderStudyRow.opened_at.desc())
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return {row.id: StudyPlan.from_json(row.plan, row.sha256) for row in rows}

    def plan(self, study_id: str) -> StudyPlan:
        """Return a study's plan.

        Raises:
            CorruptArtefact: it does not match its digest.
            NotFound: there is no such study.
        """
        with reading(self._engine) as connection:
            query = select(ReaderStudyRow).where(ReaderStudyRow.id == study_id)
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound(
                f"there is no reader study {study_id[:64]}; `GET /reader-studies` lists the open "
                "ones"
            )
        return StudyPlan.from_json(row.plan, row.sha256)

    def readings(self, study_id: str, reader: str | None = None) -> Sequence[StudyReading]:
        """Return the readings of a study, or of one of its readers, in their order."""
        with reading(self._engine) as connection:
            return _given(connection, study_id, reader)

    def next(self, study_id: str, reader: str, key: str | None = None) -> NextReading:
        """Return what a reader reads next; films that were removed meanwhile are passed over.

        Args:
            study_id: of the study.
            reader: pseudonym.
            key: id of the caller's key; None if the service requires no keys.

        Raises:
            NotFound: there is no such study, or the reader is not in it.
            PseudonymTaken: it belongs to another key.
        """
        plan = self._plan_with(study_id, reader)
        Raters(self._engine).check(reader, key)
        with reading(self._engine) as connection:
            return self._next(connection, plan, reader)

    def shown(self, study_id: str, reader: str, number: int, key: str | None = None) -> list[str]:
        """Return what a reader's next reading shows: the film's case id, then those beside it.

        Raises:
            NotFound: there is no such study, or the reader is not in it.
            PseudonymTaken: it belongs to another key.
            ReadingGiven: another reading is next, or the washout goes on.
        """
        following = self.next(study_id, reader, key)
        if following.number != number or following.film is None or following.opens_at:
            raise ReadingGiven(f"reading {number} is not open; ask for the next one")
        return [following.film.case_id, *following.cases]

    def save(
        self, study_id: str, reader: str, number: int, said: ReadingAnswer, key: str | None = None
    ) -> None:
        """Save a reading. Saving the same answer again changes nothing.

        Raises:
            InvalidArgument: a value is out of range, trust is missing, or the washout goes on.
            NotFound: there is no such study, or the reader is not in it.
            PseudonymTaken: the pseudonym belongs to another key.
            ReadingGiven: the reading was given otherwise, or another one is next.
        """
        plan = self._plan_with(study_id, reader)
        with writing(self._engine) as connection:
            claim(connection, reader, key)  # concurrent saves wait here
            for one in _given(connection, study_id, reader):
                if one.number == number and _same(one.said, said):
                    return
            following = self._next(connection, plan, reader)
            _check(following, number, said, plan)
            values = {"study": study_id, "reader": reader, "number": number, **vars(said)}
            connection.execute(insert(ReadingRow).values(**values, read_at=datetime.now(UTC)))

    def counts(self, study_id: str) -> Mapping[str, int]:
        """Count each reader's readings."""
        query = select(ReadingRow.reader, func.count().label("readings")).where(
            ReadingRow.study == study_id
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query.group_by(ReadingRow.reader)).all()
        return {row.reader: row.readings for row in rows}

    def _plan_with(self, study_id: str, reader: str) -> StudyPlan:
        plan = self.plan(study_id)
        if reader not in plan.sessions:
            raise NotFound(
                f"{reader[:64]} is no reader of this study; use the pseudonym that the study's "
                "organiser gave you"
            )
        return plan

    def _next(self, connection: Connection, plan: StudyPlan, reader: str) -> NextReading:
        given = _given(connection, plan.study_id, reader)
        readings, said = plan.readings_of(reader), {one.number for one in given}
        left = [number for number in range(len(readings)) if number not in said]
        there = self._existing(connection, {readings[number][1].case_id for number in left})
        left = [number for number in left if readings[number][1].case_id in there]
        if not left:
            return NextReading(None, len(readings))
        number = left[0]
        session, film, arm = readings[number]
        shown = film.cases.get(arm.cases, ())
        kept = self._existing(connection, set(shown))
        before = [one.read_at for one in given if readings[one.number][0] < session]
        opens_at = max(before) + timedelta(days=plan.washout_days) if before else None
        return NextReading(
            number,
            len(readings),
            session,
            film,
            arm,
            tuple(one for one in shown if one in kept),
            opens_at if opens_at and opens_at > datetime.now(UTC) else None,
        )

    def _existing(self, connection: Connection, case_ids: set[str]) -> set[str]:
        """Return those of some cases that exist for the caller."""
        found, names = set[str](), sorted(case_ids)
        for begin in range(0, len(names), AT_ONCE):
            wanted = CaseRow.case_id.in_(names[begin : begin + AT_ONCE])
            query = select(CaseRow.case_id).where(wanted, *self._access.conditions())
            found |= set(connection.scalars(query))
        return found


def _given(connection: Connection, study_id: str, reader: str | None) -> Sequence[StudyReading]:
    query = select(ReadingRow).where(ReadingRow.study == study_id)
    if reader is not None:
        query = query.where(ReadingRow.reader == reader)
    rows = connection.execute(query.order_by(ReadingRow.reader, ReadingRow.number)).all()
    return [
        StudyReading(r.reader, r.number, ReadingAnswer(r.confidence, r.trust, r.seconds), r.read_at)
        for r in rows
    ]


def _same(one: ReadingAnswer, other: ReadingAnswer) -> bool:
    """Tell if two answers are equal; a repeated request may measure another time."""
    return (one.confidence, one.trust) == (other.confidence, other.trust)


def _check(following: NextReading, number: int, said: ReadingAnswer, plan: StudyPlan) -> None:
    """Refuse an answer that is not the next one, or not complete."""
    if following.number is None:
        raise ReadingGiven("all films of this study have been read; readings do not change")
    if following.number != number:
        raise ReadingGiven(
            f"reading {number} was given already or is not the next one, which is "
            f"{following.number}; readings do not change"
        )
    if following.opens_at is not None:
        raise InvalidArgument(
            f"the next session opens at {following.opens_at.isoformat(timespec='minutes')}, after "
            f"{plan.washout_days:g} days of washout"
        )
    for name, value in (("confidence", said.confidence), ("trust", said.trust)):
        if value is not None and not 0 <= value <= 100:
            raise InvalidArgument(f"{name} is {value}, and has to be between 0 and 100")
    if not 0 <= said.seconds <= MOST_SECONDS:
        raise InvalidArgument(
            f"a reading took {said.seconds:g} s, and has to take between 0 and {MOST_SECONDS:g} s"
        )
    asked = plan.ask_trust and bool(following.cases)
    if asked != (said.trust is not None):
        raise InvalidArgument(
            "say how far you relied on the cases"
            if asked
            else "no cases were shown, or trust is not asked for; leave trust out"
        )
