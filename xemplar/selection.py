"""Which of the similar cases are shown: what may be asked for, and how the answer is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Case, CaseFilter, Catalog
from xemplar.errors import InvalidArgument
from xemplar.index import Amended

MAX_K = 100
MAX_COUNTER_EXAMPLES = 20

NEAR_DUPLICATE = 0.97
"""Cosine above which two films are taken for one film kept twice.

Chosen by `benchmarks/near_duplicates.py`, with the shipped checkpoint: copies that were re-encoded
or made smaller lie above it, two different films do not, not even of one patient. Measure again
for a checkpoint of your own.
"""

POOL_FACTOR, MIN_POOL = 5, 50
"""A choice is made among this many times k most similar cases, and at least so many."""

MAX_POOL = 4096
"""Most cases that a choice looks at: where so many are passed over, the answer has fewer than k."""

NearDuplicates: TypeAlias = Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What may be asked of a film.

    Attributes:
        k: how many cases, 1 to 100.
        finding: to explain; None for the most probable.
        exclude: public ids of cases that must not be in the answer.
        exclude_patient_of: public ids of cases whose patients' films must not be in the answer;
            where the patient is unknown, the case alone.
        filter: which cases may be in the answer.
        min_similarity: -1 to 1; less similar cases are not shown.
        diversity: 0 to 1; 0 takes the most similar cases, 1 those least like one another (see
            `choose`).
        near_duplicates: "drop" passes over a case whose cosine to the query or to a case chosen
            before it is above `NEAR_DUPLICATE`. "keep" by default: a film that is indexed is
            then found, and nothing is hidden that nobody asked to hide.
        one_per_patient: whether each patient is shown at most once. A case of an unknown patient
            counts as a patient of its own.
        counter_examples: how many of the most similar cases *without* the explained finding are
            shown too, 0 to 20. They meet all of the filter but what it says of findings.

    Raises:
        InvalidArgument: a number is out of its range.
    """

    k: int = 5
    finding: str | None = None
    exclude: tuple[str, ...] = ()
    exclude_patient_of: tuple[str, ...] = ()
    filter: CaseFilter = field(default_factory=CaseFilter)
    min_similarity: float = -1.0
    diversity: float = 0.0
    near_duplicates: NearDuplicates = "keep"
    one_per_patient: bool = False
    counter_examples: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "k": (1, MAX_K),
            "counter_examples": (0, MAX_COUNTER_EXAMPLES),
            "min_similarity": (-1, 1),
            "diversity": (0, 1),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:  # so that NaN is refused too
                raise InvalidArgument(f"{name} is {value}; it must be from {least} to {most}")


@dataclass(frozen=True)
class Found:
    """A case that was chosen, and its cosine to the query, in [-1, 1]."""

    case: Case
    similarity: float


class Scope:
    """Where a `Search` looks: worked out once, and the same for all films that are asked with it.

    Attributes:
        search: what was asked.
        generation: the one that all neighbours come from, whichever is live by then.
        matched: how many of its cases may be neighbours.
    """

    def __init__(self, generation: Amended, catalog: Catalog, search: Search) -> None:
        """Look up in the catalog what may be found.

        Raises:
            NotFound: an excluded case does not exist.
            UnknownFinding: the filter names a finding of no vocabulary and no case.
        """
        self.search = search
        self.generation = generation
        self._catalog = catalog
        self._excluded = {catalog.case(case_id).id for case_id in search.exclude}
        for case_id in search.exclude_patient_of:
            case = catalog.case(case_id)
            alone = (case.id,)
            self._excluded.update(catalog.patient_ids(case.patient) if case.patient else alone)
        everything = search.filter == CaseFilter()
        self._among = None if everything else catalog.matching(search.filter)
        self._without: dict[str, npt.NDArray[np.int64]] = {}
        ids = generation.ids
        ids = ids if self._among is None else np.intersect1d(ids, self._among)
        self.matched = int((~np.isin(ids, list(self._excluded))).sum())

    def neighbours(self, vector: npt.NDArray[np.float32]) -> list[Found]:
        """The k cases for an embedding, float32 (C,); fewer where fewer remain."""
        return self._find(vector, self.search.k, self._among)

    def counter_examples(self, vector: npt.NDArray[np.float32], finding: str) -> list[Found]:
        """The most similar cases that are known not to have a finding, chosen as neighbours are."""
        if not self.search.counter_examples:
            return []
        if finding not in self._without:  # the films of a batch mostly ask for the same few
            others = replace(
                self.search.filter, any_of=(), all_of=(), none_of=(), known_absent=finding
            )
            self._without[finding] = self._catalog.matching(others)
        return self._find(vector, self.search.counter_examples, self._without[finding])

    def _find(
        self, vector: npt.NDArray[np.float32], count: int, among: npt.NDArray[np.int64] | None
    ) -> list[Found]:
        """Search, and choose; search further where too many were passed over.

        Cases that were removed from the catalog since the generation was built are passed over.
        """
        search = self.search
        picky = search.diversity or search.one_per_patient or search.near_duplicates == "drop"
        pool = max(POOL_FACTOR * count, MIN_POOL) if picky else count
        while True:
            hits = self.generation.search(vector, pool, self._excluded, among)
            cases = self._catalog.cases(map(int, hits.ids))
            scored = [(int(i), float(s)) for i, s in zip(hits.ids, hits.similarity, strict=True)]
            found = [Found(cases[number], score) for number, score in scored if number in cases]
            chosen = choose(found, self._vectors(found), count, search)
            searched = len(scored) < pool or scored[-1][1] < search.min_similarity
            if len(chosen) == count or searched or pool >= MAX_POOL:
                return chosen
            pool = min(4 * pool, MAX_POOL)

    def _vectors(self, found: Sequence[Found]) -> npt.NDArray[np.float32]:
        """Embeddings of the candidates, where they are compared with one another."""
        compared = self.search.diversity or self.search.near_duplicates == "drop"
        if not found or not compared:
            return np.empty((len(found), 0), np.float32)
        return np.stack([self.generation.vector(one.case.id) for one in found])


def choose(
    found: Sequence[Found], vectors: npt.NDArray[np.float32], count: int, search: Search
) -> list[Found]:
    """Choose one case after the other, by maximal marginal relevance.

    Each time, of the cases that are left, the one with the largest
    (1 - d) * cos(query, case) - d * (largest cosine to a case chosen before), d the diversity
    (Carbonell & Goldstein, SIGIR 1998, with lambda = 1 - d). With d = 0 that is the order of
    similarity. Of equal ones, the one that was found first.

    Args:
        found: the candidates, the most similar first.
        vectors: float32 (n, C), their embeddings, unit length; (n, 0) where `Search` compares no
            candidates with one another.
        count: how many are wanted.
        search: by what they are chosen.
    """
    similarity = np.array([one.similarity for one in found])
    patient = np.array([one.case.patient or f"unknown {n}" for n, one in enumerate(found)])
    drop = search.near_duplicates == "drop"
    left = similarity >= search.min_similarity
    if drop:
        left &= similarity <= NEAR_DUPLICATE
    nearest = np.zeros(len(found))
    chosen: list[Found] = []
    while len(chosen) < count and left.any():
        gain = (1 - search.diversity) * similarity - search.diversity * nearest
        best = int(np.argmax(np.where(left, gain, -np.inf)))
        chosen.append(found[best])
        left[best] = False
        if search.one_per_patient:
            left &= patient != patient[best]
        if vectors.shape[1]:
            cosine = vectors @ vectors[best]
            nearest = np.maximum(nearest, cosine)
            if drop:
                left &= cosine <= NEAR_DUPLICATE
    return chosen
