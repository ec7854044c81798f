"""Which split an image is in: the one that its data set names, else one by a hash of its patient.

Trainer, indexer and evaluator must agree on it, or images that are called unseen were trained on.
So the rule is kept in the checkpoint (`xemplar.model.checkpoint.Card.split`), and all take it from
there.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from xemplar.archive.artefact import length_prefixed
from xemplar.data.datasets import TEST, TRAIN, VAL, DatasetImage
from xemplar.errors import ConfigurationError

OLDEST_SCHEME, SCHEME = 1, 2
"""Versions of the hash. The first one took in the data set's name, and ran all fields together."""


@dataclass(frozen=True)
class PatientSplit:
    """How patients are split where a data set does not say.

    All images of a patient fall into one split, whatever else is in the data set, and under
    whatever name the data set is opened. An image without a patient id counts as a patient of its
    own.

    Attributes:
        seed: another one splits otherwise. It is apart from the training's.
        val: share of the patients to choose and to tune by, in [0, 1).
        test: share of the patients that is held out, in [0, 1).
        scheme: version of the hash: 2, or 1 in checkpoints of release 0.1.

    Raises:
        ConfigurationError: nothing is left to train on, or the scheme is unknown.
    """

    seed: int = 0
    val: float = 0.1
    test: float = 0.1
    scheme: int = SCHEME

    def __post_init__(self) -> None:
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test < 1):
            raise ConfigurationError(
                f"shares of {self.val:g} for validation and {self.test:g} for testing cannot be; "
                "each must be at least 0, and both together less than 1"
            )
        if self.scheme not in (OLDEST_SCHEME, SCHEME):
            raise ConfigurationError(
                f"patients were split by scheme {self.scheme!r}, and this software knows "
                f"{OLDEST_SCHEME} and {SCHEME}; install the version that made the checkpoint"
            )

    def of(self, image: DatasetImage) -> str:
        """The split of an image: its data set's, else that of its patient."""
        if image.split:
            return image.split
        place = self._number(image) / 2**32
        return TEST if place < self.test else VAL if place < self.test + self.val else TRAIN

    def _number(self, image: DatasetImage) -> int:
        if self.scheme == SCHEME:
            return patient_number(image, "split", self.seed)
        key = f"{self.seed}:{image.source}:{image.patient or image.path.name}"
        return _number(key.encode(errors="surrogateescape"))


def patient_number(image: DatasetImage, purpose: str, seed: int) -> int:
    """A number from 0 to 2**32 - 1 that is the same for all images of a patient: a hash.

    Args:
        image: one without a patient id counts as a patient of its own.
        purpose: numbers for different purposes have nothing to do with each other.
        seed: another one gives other numbers.
    """
    return _number(length_prefixed(purpose, str(seed), *who(image)))


def who(image: DatasetImage) -> tuple[str, str]:
    """Whom an image shows within its data set: its patient, or else itself."""
    if image.patient:
        return "patient", image.patient
    return "file", image.file or image.path.name


def learnt_from(images: Iterable[DatasetImage], rule: PatientSplit) -> frozenset[tuple[str, str]]:
    """Whom a training on these images learns from or chooses by; see `who`."""
    return frozenset(who(image) for image in images if rule.of(image) in (TRAIN, VAL))


def learnt_digest(images: Iterable[DatasetImage], rule: PatientSplit) -> str | None:
    """A digest that changes with whom a training learns from, in data sets that name splits.

    It is one digest of all of them, so that nobody can try whether a certain patient was there.

    Args:
        images: of one data set.
        rule: for images whose split is not named.

    Returns:
        sha256 hex digest; None where no image's split is named, as the rule alone then decides.
    """
    every = tuple(images)
    if not any(image.split for image in every):
        return None
    fields = [field for one in sorted(learnt_from(every, rule)) for field in one]
    return hashlib.sha256(length_prefixed(*fields)).hexdigest()


def _number(key: bytes) -> int:
    return int(hashlib.sha256(key).hexdigest()[:8], 16)
