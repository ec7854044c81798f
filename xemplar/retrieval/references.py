"""References of cases to their studies: a reference (docs/decisions/0045), and the day (0052).

Each is kept only where the hospital asks for it, and sealed or shifted in the call that reads it,
so the catalog alone names no study and no day.
"""

import re
from dataclasses import dataclass

from xemplar.archive.store import Store
from xemplar.catalog import Catalog, case_id_of
from xemplar.errors import ConfigurationError
from xemplar.imaging.dicom.study import study_day, study_uid

STUDY = "{study}"
"""Stands for the study's UID in the address."""

ADDRESS = re.compile(r"https?://[!-z|~]*")
"""Addresses of the web, without spaces, control characters and braces."""


@dataclass(frozen=True)
class StudyReferences:
    """Seals the UIDs of studies and makes links of them, and shifts their days.

    Attributes:
        store: whose key does both.
        viewer_url: address of a study in the hospital's viewer, with `STUDY` in it; empty to keep
            no reference.
        days: True to keep the day, shifted.
    """

    store: Store
    viewer_url: str
    days: bool = False

    def shifted_day(self, data: bytes, patient: str | None) -> int | None:
        """Read the day of an image's study, and move it by the patient's own number of days.

        So the days of a patient can be compared, and no date is kept.

        Args:
            data: the image's file.
            patient: the pseudonym; without one there is nothing to compare.

        Raises:
            InputError: the header cannot be read.
            CorruptArtefact, StorageError: there is no usable key.
        """
        day = study_day(data) if self.days and patient else None
        return None if day is None or patient is None else day + self.store.shift(patient)

    def seal(self, data: bytes, image_sha256: str) -> bytes | None:
        """Read the UID of an image's study and seal it; None if the image names no study.

        Args:
            data: the image's file.
            image_sha256: hex digest of its bytes, to which the result is bound.

        Raises:
            InputError: the header cannot be read.
            CorruptArtefact, StorageError: there is no usable key.
        """
        study = study_uid(data) if self.viewer_url else None
        if study is None:
            return None
        return self.store.seal(study.encode(), _name(case_id_of(image_sha256)))

    def keep(self, data: bytes, image_sha256: str, catalog: Catalog) -> None:
        """Seal the study of an image that is a case, and store it in the catalog.

        Raises:
            InputError, CorruptArtefact, StorageError: see `seal`.
        """
        reference = self.seal(data, image_sha256)
        if reference is not None:
            catalog.put_reference(image_sha256, reference)

    def link(self, case_id: str, sealed: bytes) -> str:
        """Make the link to a case's study.

        Raises:
            Mismatch: it was sealed with another key, or for another case.
        """
        return self.viewer_url.replace(STUDY, self.store.unseal(sealed, _name(case_id)).decode())


def study_references(
    store: Store, viewer_url: str, *, days: bool = False
) -> StudyReferences | None:
    """Return what keeps references and days of studies; None if neither is to be kept.

    Raises:
        ConfigurationError: the address is none.
    """
    if viewer_url:
        check_viewer_url(viewer_url)
    return StudyReferences(store, viewer_url, days) if viewer_url or days else None


def check_viewer_url(viewer_url: str) -> str:
    """Refuse an address that leads to no study; return it.

    Raises:
        ConfigurationError: it is no address of the web, or does not contain `STUDY` once.
    """
    whole = ADDRESS.fullmatch(viewer_url.replace(STUDY, "", 1))
    if viewer_url.count(STUDY) != 1 or whole is None:
        raise ConfigurationError(
            f"XEMPLAR_VIEWER_URL is {viewer_url!r}; it should be the address of a study in your "
            f"viewer, with {STUDY} for the study's UID, as "
            "https://viewer.example/viewer?StudyInstanceUIDs={study}"
        )
    return viewer_url


def _name(case_id: str) -> str:
    return f"study of {case_id}"
