"""Converts between the catalog's values and rows of its tables."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice
from math import isqrt
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Select, select

from xemplar.catalog.case import Batch, Case, Description, Entry, case_id_of
from xemplar.catalog.courses import TIMES, outcome_of
from xemplar.catalog.tables import CaseRow, OutcomeRow, TimeRow
from xemplar.errors import CorruptArtefact, InvalidArgument

DESCRIBED = ("source", "file", "patient", "sex", "age", "labels", "split")
"""Fields set by the newest label file; not the view, which may come from a header."""


MOST_VALUES = 10_000
"""Values in one statement: SQLite takes 32,766, PostgreSQL 65,535, and some name two for each."""

T = TypeVar("T")


def parts(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield values in lists of at most `MOST_VALUES`, one for each statement."""
    every = iter(values)
    while some := list(islice(every, MOST_VALUES)):
        yield some


LARGEST_CAM = float(np.finfo(np.float16).max)
"""Maps are stored as float16; real values are below 10."""


def check_entry(entry: Entry) -> None:
    """Refuse arrays that could not be read back or compared.

    Raises:
        InvalidArgument: names the shape or value.
    """
    findings, grid = entry.logits.shape[0], entry.cams.shape[-1]
    shapes = (entry.vector.ndim, entry.logits.ndim, entry.cams.shape)
    if shapes != (1, 1, (findings, grid, grid)):
        raise InvalidArgument(
            f"an embedding needs vector (C,), logits (F,) and cams (F, g, g), not "
            f"{entry.vector.shape}, {entry.logits.shape}, {entry.cams.shape}"
        )
    length = float(np.linalg.norm(entry.vector))
    finite = np.isfinite(entry.logits).all() and (np.abs(entry.cams) <= LARGEST_CAM).all()
    if not (finite and abs(length - 1) < 1e-3):
        raise InvalidArgument(
            f"the embedding of image {entry.image_sha256[:16]} has length {length:.6g} instead of "
            "1, or values that are not finite or too large; it cannot be compared with others"
        )


def description_fields(description: Description) -> dict[str, Any]:
    """Return a description's columns of `CaseRow`."""
    fields = {name: getattr(description, name) for name in (*DESCRIBED, "view")}
    return fields | {"labels": dict(description.labels)}


def case_fields(entry: Entry) -> dict[str, Any]:
    """Return an entry's columns of `CaseRow`, without the id."""
    row, column = entry.spacing_mm or (None, None)
    return description_fields(entry.description) | {
        "case_id": case_id_of(entry.image_sha256),
        "image_sha256": entry.image_sha256,
        "height": entry.height,
        "width": entry.width,
        "spacing_row_mm": row,
        "spacing_column_mm": column,
        "photometric": entry.photometric,
        "created_at": datetime.now(UTC),
    }


def embedding_fields(entry: Entry) -> dict[str, bytes]:
    """Return an entry's columns of `EmbeddingRow`: arrays as little-endian bytes."""
    return {
        "vector": entry.vector.astype("<f4").tobytes(),
        "logits": entry.logits.astype("<f4").tobytes(),
        "cams": entry.cams.astype("<f2").tobytes(),
    }


def select_cases() -> Select[Any]:
    """Build a statement whose rows `cases_of` converts and sorts; it has no conditions yet.

    Rows, not objects of the ORM: to make those takes longer than to read cases and their parts.
    """
    times = (getattr(TimeRow, name) for name in TIMES)
    outcomes = (OutcomeRow.diagnosis, OutcomeRow.proof, OutcomeRow.days)
    report = CaseRow.has_report.label("has_report")
    query = select(*CaseRow.__table__.columns, report, *times, *outcomes)
    query = query.outerjoin(TimeRow, TimeRow.case == CaseRow.id)
    return query.outerjoin(OutcomeRow, OutcomeRow.case == CaseRow.id)


def cases_of(rows: Iterable[Any]) -> Iterator[Case]:
    """Yield cases by ascending ids; each has a row of `select_cases` for each of its outcomes."""
    number = attrgetter("id")
    for _, same in groupby(sorted(rows, key=number), number):
        row, *others = same
        spacing = (row.spacing_row_mm, row.spacing_column_mm)
        known = None not in spacing
        outcomes = [] if row.diagnosis is None else [*map(outcome_of, (row, *others))]
        yield Case(
            id=row.id,
            case_id=row.case_id,
            image_sha256=row.image_sha256,
            source=row.source,
            file=row.file,
            patient=row.patient,
            view=row.view,
            sex=row.sex,
            age=row.age,
            labels=row.labels,
            split=row.split,
            followup=row.followup,
            day=row.day,
            shifted_day=row.shifted_day,
            outcomes=tuple(sorted(outcomes, key=attrgetter("diagnosis"))),
            height=row.height,
            width=row.width,
            spacing_mm=spacing if known else None,
            photometric=row.photometric,
            created_at=row.created_at,
            has_report=row.has_report,
        )


def batch_of(rows: Sequence[Any]) -> Batch:
    """Convert rows (case, vector, logits, cams) to arrays; the lengths give the grid size.

    Raises:
        CorruptArtefact: the lengths are inconsistent.
    """
    ids, vectors, logits, cams = zip(*rows, strict=True)
    try:
        count = len(rows)
        all_logits = np.frombuffer(b"".join(logits), "<f4").reshape(count, -1)
        findings = all_logits.shape[1]
        grid = isqrt(len(cams[0]) // 2 // findings)
        return Batch(
            ids=np.array(ids, np.int64),
            vectors=np.frombuffer(b"".join(vectors), "<f4").reshape(count, -1),
            logits=all_logits,
            cams=np.frombuffer(b"".join(cams), "<f2").reshape(count, findings, grid, grid),
        )
    except (ValueError, ZeroDivisionError) as error:
        raise CorruptArtefact(
            f"embeddings of cases {ids[0]} to {ids[-1]} are damaged: {error}; restore the catalog "
            "from a backup, or remove those cases and index their images again"
        ) from error
