"""Leaks: queries that the checkpoint was developed on under other names, or that are indexed twice.

What a data set says of its splits cannot show that its images were in another one, too. The digests
in the checkpoint (`xemplar.data.membership`) and the pictures themselves can.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import poisson

from xemplar.data.datasets import Dataset
from xemplar.data.membership import Contrasts, Membership, contrasts
from xemplar.errors import DatasetError, Mismatch
from xemplar.imaging.local_contrast import SAME_IMAGE
from xemplar.model.checkpoint import Card

from .data import Candidates, EvaluationImages, related
from .unseen import SEEN, was_trained_on

LUCK = 0.001
"""Chance of as many patients' digests among the training's by luck, below which they are leaks."""

BLOCK = 512
"""Indexed cases that are compared at once: 25 MB of contrasts."""

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Leaks:
    """Queries that are not new to the network or to the index.

    Attributes:
        patients: bool (N,), whose patient's digest is among those of a training.
        trained: bool (N,), whose picture is.
        indexed: bool (N,), whose picture an indexed case of another patient shows.
        found: number of patients with such a digest.
        asked: number of patients that were compared.
        expected: of them, those that chance gives such a digest.
        told: whether any training keeps digests.
        silent: whether any keeps none.
        foreign: whether patients are called as in no identity domain of a training.
    """

    patients: Rows
    trained: Rows
    indexed: Rows
    found: int
    asked: int
    expected: float
    told: bool
    silent: bool
    foreign: bool

    @property
    def rows(self) -> Rows:
        """All queries with any leak, bool (N,)."""
        return self.patients | self.trained | self.indexed

    @property
    def sure(self) -> bool:
        """True where luck does not explain them."""
        lucky = float(poisson.sf(self.found - 1, self.expected)) if self.found else 1.0
        return bool(self.trained.any() or self.indexed.any() or lucky < LUCK)

    def to_json(self) -> dict[str, Any]:
        """Return the counts, for the report; None where no training keeps digests."""
        return {
            "patients of the training": self.found if self.told else None,
            "patients of the training, by chance": round(self.expected, 3) if self.told else None,
            "pictures of the training": int(self.trained.sum()) if self.told else None,
            "pictures indexed under another patient": int(self.indexed.sum()),
            "every training keeps digests": not self.silent,
        }

    def __str__(self) -> str:
        sentences = []
        if self.silent:
            sentences.append(
                "The checkpoint, or one that its training began with, keeps no digests of what it "
                "was trained on: patients and pictures that it saw under other names cannot be "
                "told."
            )
        if self.foreign:
            sentences.append(
                "Patients are called as in no identity domain of the training, so only pictures "
                "could be compared; if the ids are the same, name the domain with --patients."
            )
        if self.asked:
            sentences.append(
                f"Of {self.asked:,} queried patients {self.found:,} have a digest of the training's"
                f" ({self.expected:.2g} by chance)."
            )
        known = f"{int(self.trained.sum()):,} are the training's, and " if self.told else ""
        sentences.append(
            f"Of {len(self.trained):,} queried pictures {known}{int(self.indexed.sum()):,} are "
            "indexed under another patient."
        )
        return " ".join(sentences)


def find_leaks(
    card: Card, dataset: Dataset, queries: EvaluationImages, candidates: Candidates
) -> Leaks:
    """Compare the queries with all trainings of a checkpoint, and with the indexed cases.

    Images of the splits `SEEN` of a data set that was trained on are no secret (`check_unseen` says
    so), and are compared with the index alone.

    Raises:
        CorruptArtefact: the checkpoint's digests are damaged.
    """
    seen = contrasts(queries.inputs)
    kept = [one.training.get("membership") for one in card.trainings()]
    memberships = [Membership.from_json(one) for one in kept if one is not None]
    told = was_trained_on(card, dataset)
    new = np.array([not (told and card.split.of(f) in SEEN) for f in queries.records], np.bool_)
    patients, trained = np.zeros_like(new), np.zeros_like(new)
    for one in memberships:
        patients |= new & one.has_patients(queries.records)
        trained |= new & one.has_pictures(seen)
    comparable = [
        any(image.domain in one.domains for one in memberships) and bool(image.patient)
        for image in queries.records
    ]

    def counted(rows: Rows) -> int:
        return len({queries.records[row].patient for row in np.flatnonzero(rows)})

    asked = counted(new & np.array(comparable, np.bool_))
    return Leaks(
        patients=patients,
        trained=trained,
        indexed=_indexed(seen, queries, candidates),
        found=counted(patients),
        asked=asked,
        expected=asked * sum(one.strangers for one in memberships),
        told=bool(memberships),
        silent=None in kept,
        foreign=bool(memberships) and bool(new.any()) and not asked,
    )


def without_leaks(leaks: Leaks, queries: EvaluationImages, policy: str) -> EvaluationImages:
    """Return the queries, without those that leaked where the policy is "drop".

    Raises:
        Mismatch: the policy is "refuse", and there are leaks that luck does not explain.
        DatasetError: no query would be left.
    """
    if policy == "refuse":
        if leaks.sure:
            raise Mismatch(
                f"{leaks} Figures on them would be too good; evaluate other images, train without "
                f"these, or leave the {int(leaks.rows.sum()):,} images out with --leaks drop"
            )
        return queries
    if leaks.rows.all():
        raise DatasetError(f"{leaks} No image would be left; evaluate others")
    return queries.among(~leaks.rows)


def _indexed(seen: Contrasts, queries: EvaluationImages, candidates: Candidates) -> Rows:
    """Tell of each query if an indexed case that it may find shows its picture, bool (N,)."""
    found = np.zeros(len(queries), np.bool_)
    barred = related(queries, candidates, slice(0, len(queries)))
    for begin in range(0, len(candidates), BLOCK):
        part = slice(begin, begin + BLOCK)
        same = seen @ contrasts(candidates.inputs[part]).T >= SAME_IMAGE
        found |= (same & ~barred[:, part]).any(axis=1)
    return found
