"""Assigns images to splits: the data set's own split, else by a hash of the patient.

Trainer, indexer and evaluator must agree, or images reported as unseen were trained on. So the rule
is stored in the checkpoint (`xemplar.model.checkpoint.Card.split`), and all read it from there.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from xemplar.archive.artefact import length_prefixed
from xemplar.data.datasets import TEST, TRAIN, VAL, DatasetImage
from xemplar.errors import ConfigurationError

OLDEST_SCHEME, SCHEME = 1, 2
"""Versions of the hash. The first one included the data set's name and did not delimit fields."""


@dataclass(frozen=True)
class PatientSplit:
    """Rule that splits patients where a data set does not.

    All images of a patient are in one split, independent of the data set's other images and of its
    name. An image without a patient id counts as a patient of its own.

    Attributes:
        seed: seed of the split, independent of the training's.
        val: share of patients for validation, in [0, 1).
        test: share of patients held out for testing, in [0, 1).
        scheme: version of the hash: 2, or 1 in checkpoints of release 0.1.

    Raises:
        ConfigurationError: no share is left for training, or the scheme is unknown.
    """

    seed: int = 0
    val: float = 0.1
    test: float = 0.1
    scheme: int = SCHEME

    def __post_init__(self) -> None:
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test < 1):
            raise ConfigurationError(
                f"shares of {self.val:g} for validation and {self.test:g} for testing are "
                "impossible; each must be at least 0, and both together less than 1"
            )
        if self.scheme not in (OLDEST_SCHEME, SCHEME):
            raise ConfigurationError(
                f"patients were split by scheme {self.scheme!r}, and this software knows "
                f"{OLDEST_SCHEME} and {SCHEME}; install the version that made the checkpoint"
            )

    def of(self, image: DatasetImage) -> str:
        """Return the split of an image: its data set's, else its patient's."""
        if image.split:
            return image.split
        position = self._number(image) / 2**32
        if position < self.test:
            return TEST
        return VAL if position < self.test + self.val else TRAIN

    def _number(self, image: DatasetImage) -> int:
        if self.scheme == SCHEME:
            return patient_number(image, "split", self.seed)
        key = f"{self.seed}:{image.source}:{image.patient or image.path.name}"
        return _number(key.encode(errors="surrogateescape"))


def patient_number(image: DatasetImage, purpose: str, seed: int) -> int:
    """Hash a patient to an integer from 0 to 2**32 - 1, the same for all of the patient's images.

    Args:
        image: without a patient id, it counts as a patient of its own.
        purpose: hashes for different purposes are independent.
        seed: hashes for different seeds are independent.
    """
    # without the domain: a patient has one split and one fold in whatever data set, as always
    return _number(length_prefixed(purpose, str(seed), *patient_key(image)[:2]))


def patient_key(image: DatasetImage) -> tuple[str, str, str]:
    """Identify the patient of an image, across data sets; without a patient id, the image.

    Returns:
        ("patient", id, identity domain) or ("file", name, data set).
    """
    if image.patient:
        return "patient", image.patient, image.domain
    return "file", image.file or image.path.name, image.source


def development_patients(
    images: Iterable[DatasetImage], rule: PatientSplit
) -> frozenset[tuple[str, str, str]]:
    """Collect the patients in the training and validation splits; see `patient_key`."""
    return frozenset(patient_key(image) for image in images if rule.of(image) in (TRAIN, VAL))


def development_digest(images: Iterable[DatasetImage], rule: PatientSplit) -> str | None:
    """Digest of the training and validation patients of a data set that names splits.

    One digest covers all patients, so that the membership of a single patient cannot be tested.

    Args:
        images: images of one data set.
        rule: applied to images without a named split.

    Returns:
        sha256 hex digest; None if no image has a named split, as the rule alone then decides.
    """
    every = tuple(images)
    if not any(image.split for image in every):
        return None
    # without the domain: a renamed data set has the same patients
    patients = sorted({key[:2] for key in development_patients(every, rule)})
    fields = [field for one in patients for field in one]
    return hashlib.sha256(length_prefixed(*fields)).hexdigest()


def _number(key: bytes) -> int:
    return int(hashlib.sha256(key).hexdigest()[:8], 16)
