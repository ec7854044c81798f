"""Who a case's patient is: how often that may change, and in which identity domain it was indexed.

Changes are limited, as each could probe a patient id.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from xemplar.archive.store import Store
from xemplar.catalog.tables import PatientChangeRow
from xemplar.data.datasets import Dataset
from xemplar.errors import Mismatch, TooManyPatientChanges

CHANGES_OF_CASE = 5
"""Patients that a case may be assigned within `PERIOD`, including those of a removed case of its
image."""

CHANGES_OF_KEY = 100
"""Patient changes that a key may make within `PERIOD`; new cases do not count."""

PERIOD = timedelta(days=1)


def check_changes(connection: Connection, case_id: str, writer: str | None = None) -> None:
    """Refuse another patient for a case after too many changes within `PERIOD`.

    Args:
        connection: to read with.
        case_id: of the case.
        writer: id of the key that changes an existing case; None for a new case.

    Raises:
        TooManyPatientChanges: names what is limited, and the limit.
    """
    _check(
        connection,
        PatientChangeRow.case_id == case_id,
        CHANGES_OF_CASE,
        f"of the patient of case {case_id}",
    )
    if writer is not None:
        _check(
            connection, PatientChangeRow.writer == writer, CHANGES_OF_KEY, "of patients by one key"
        )


def record_change(connection: Connection, case_id: str, writer: str | None = None) -> None:
    """Record a change and delete those older than `PERIOD`; arguments as in `check_changes`."""
    now = datetime.now(UTC)
    connection.execute(delete(PatientChangeRow).where(PatientChangeRow.at < now - PERIOD))
    values = {"id": secrets.token_hex(8), "case_id": case_id, "writer": writer, "at": now}
    connection.execute(insert(PatientChangeRow).values(values))


def check_domain(dataset: Dataset, store: Store, indexed: Mapping[str, str]) -> None:
    """Refuse a data set whose patients were indexed in another identity domain.

    They would be strangers to themselves: their own images would be found as another patient's.

    Args:
        dataset: whose images are looked up.
        store: holds the key of the pseudonyms.
        indexed: name within the data set -> pseudonym (`CatalogReader.named_patients`).

    Raises:
        Mismatch: all pseudonyms of its indexed images differ from what they would be now. A few
            may: their patient ids were corrected.
    """
    now = {
        image.file: store.pseudonym(image.domain, image.patient)
        for image in dataset.images
        if image.file in indexed and image.patient
    }
    if now and all(indexed[str(file)] != pseudonym for file, pseudonym in now.items()):
        raise Mismatch(
            f"{len(now):,} images of {dataset.name} are indexed under other pseudonyms of their "
            f"patients than those of the identity domain {dataset.images[0].domain!r}; name the "
            "domain that they were indexed with: --patients NAME (to move them into another "
            "domain, or to correct all patient ids, name it to `xemplar index`)"
        )


def _check(connection: Connection, counted: ColumnElement[bool], limit: int, what: str) -> None:
    recent = PatientChangeRow.at >= datetime.now(UTC) - PERIOD
    query = select(func.count()).select_from(PatientChangeRow).where(counted, recent)
    if (connection.scalar(query) or 0) >= limit:
        raise TooManyPatientChanges(
            f"{limit} changes {what} within {PERIOD.days * 24} hours are the limit; wait, "
            "or ask an administrator, whose changes have none"
        )
