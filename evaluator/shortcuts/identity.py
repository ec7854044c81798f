"""Re-identification: how often the most similar image is of the same patient."""

from dataclasses import dataclass

import numpy as np

from ..bootstrap import estimate
from ..data import EvaluationData
from ..section import Cell, Estimate, Table

BLOCK = 512
"""Queries compared at once."""


@dataclass(frozen=True)
class Identity:
    """Measures whether the embedding knows patients again.

    Attributes:
        first: share of the asked images whose most similar other image is of the same patient; None
            if no patient has two images.
        chance: that share for a random order.
        asked: number of images whose patient has another one.
        gallery: number of images that each is compared with.
    """

    first: Estimate | None
    chance: float | None
    asked: int
    gallery: int


def identity(data: EvaluationData) -> Identity:
    """Measure how often the most similar image is of the same patient.

    Each query of a known patient is compared with all others of the data set that are at hand:
    queries, tuning images and indexed cases, its own image left out.
    """
    seen: dict[str, tuple[str, np.ndarray]] = {}
    for part in (data.queries, data.tuning):
        for case_id, patient, vector in zip(
            part.case_ids, part.patients, part.embedding, strict=True
        ):
            seen.setdefault(case_id, (patient or f"unknown {case_id}", vector))
    for case, vector in zip(data.candidates.cases, data.candidates.embedding, strict=True):
        seen.setdefault(case.case_id, (case.patient or f"unknown {case.case_id}", vector))
    patients = np.array([patient for patient, _ in seen.values()])
    vectors = np.stack([vector for _, vector in seen.values()])
    place = {case_id: row for row, case_id in enumerate(seen)}
    asked = np.array([place[case_id] for case_id in dict.fromkeys(data.queries.case_ids)])
    _, codes, counts = np.unique(patients, return_inverse=True, return_counts=True)
    asked = asked[counts[codes[asked]] > 1]
    if not len(asked):
        return Identity(None, None, 0, len(seen) - 1)
    hits = np.empty(len(asked), np.float64)
    for begin in range(0, len(asked), BLOCK):
        rows = asked[begin : begin + BLOCK]
        cosines = vectors[rows] @ vectors.T
        cosines[np.arange(len(rows)), rows] = -np.inf
        hits[begin : begin + BLOCK] = codes[cosines.argmax(axis=1)] == codes[rows]
    settings = data.settings
    first = estimate(hits, [str(p) for p in patients[asked]], settings.resamples, settings.seed)
    chance = float(((counts[codes[asked]] - 1) / (len(seen) - 1)).mean())
    return Identity(first, chance, len(asked), len(seen) - 1)


def identity_table(found: Identity) -> Table:
    """Tabulate re-identification."""
    row: list[Cell] = ["same patient first", found.first, found.chance, found.asked, found.gallery]
    return Table(
        "shortcuts-identity",
        "How well the embedding knows patients again",
        ("what is told", "share", "chance", "images", "compared with"),
        [row],
        "The share of images whose most similar other image of this data set is of the same "
        "patient, among images of patients with two or more. Above chance, embeddings are personal "
        "data: whoever has a patient's image can find others of the patient by it. Interval over "
        "patients.",
    )


def identity_sentence(found: Identity) -> str:
    """Say it in a sentence; empty where no patient has two images."""
    if found.first is None or found.chance is None:
        return ""
    sentence = (
        f"The most similar image is of the same patient for {found.first} of the images of "
        f"patients with several, and by chance for {found.chance:.3f}"
    )
    known = found.first.low is not None and found.first.low > found.chance
    return f"{sentence}: embeddings identify patients." if known else f"{sentence}."
