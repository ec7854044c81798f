"""Which of the similar cases are shown: what may be asked for, and how the answer is chosen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Case, CaseFilter, Catalog
from xemplar.errors import InvalidArgument
from xemplar.index import LiveIndex
from xemplar.retrieval.duplicates import COPY_COSINE, StoredImages, case_of_image

MAX_K = 100
MAX_COUNTER_EXAMPLES = 20

NEAR_DUPLICATE = 0.97
"""Cosine above which a case is passed over where near duplicates are not wanted.

Measured by `benchmarks/near_duplicates.py`, with the shipped checkpoint: no two different images of
adults are so similar, and a quarter of children's have another one. That two files show one image
is another question, and their pixels answer it (`xemplar.retrieval.duplicates`).
"""

POOL_FACTOR, MIN_POOL = 5, 50
"""A choice is made among this many times k most similar cases, and at least so many."""

MAX_POOL = 4096
"""Most cases that a choice looks at: where so many are passed over, the answer has fewer than k."""

NearDuplicates: TypeAlias = Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What may be asked of an image.

    Attributes:
        k: how many cases, 1 to 100.
        finding: to explain; None for the most probable.
        exclude: public ids of cases that must not be in the answer.
        exclude_patient_of: public ids of cases whose patients' images must not be in the answer;
            where the patient is unknown, the case alone.
        filter: which cases may be in the answer.
        min_similarity: -1 to 1; less similar cases are not shown.
        diversity: 0 to 1; 0 takes the most similar cases, 1 those least like one another (see
            `choose`).
        near_duplicates: "drop" passes over a case whose cosine to the query or to a case chosen
            before it is above `NEAR_DUPLICATE`. "keep" by default: an image that is indexed is
            then found, and nothing is hidden that nobody asked to hide. Either way, cases that
            show the same image take one place.
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
    """Where a `Search` looks: worked out once, and the same for all images that are asked with it.

    Attributes:
        search: what was asked.
        generation: the one that all neighbours come from, whichever is live by then.
        matched: how many of its cases the search means, less those that it names to be left out.
            Other images of their patients count, so that it tells nobody how many there are.
    """

    def __init__(
        self, generation: LiveIndex, catalog: Catalog, images: StoredImages, search: Search
    ) -> None:
        """Look up in the catalog what may be found.

        Args:
            generation: where to search.
            catalog: what its cases are.
            images: tells which of them show the same image.
            search: what is asked.

        Raises:
            NotFound: an excluded case does not exist.
            UnknownFinding: the filter names a finding of no vocabulary and no case.
        """
        self.search = search
        self.generation = generation
        self._catalog = catalog
        self._images = images
        of_patients = [catalog.case(case_id) for case_id in search.exclude_patient_of]
        named = {catalog.case(case_id).id for case_id in search.exclude}
        named.update(case.id for case in of_patients)
        patients = {case.patient for case in of_patients if case.patient}
        same = (number for patient in patients for number in catalog.patient_ids(patient))
        self._excluded = catalog.cases(named.union(same))
        there = [case for case in self._excluded.values() if case.id in generation]
        self._left_out, self._left_out_vectors = there, _vectors(generation, there)
        self._narrowed = search.filter != CaseFilter()
        self._among = catalog.matching(search.filter) if self._narrowed else catalog.seen()
        self._without: dict[str, npt.NDArray[np.int64]] = {}
        ids = generation.ids
        ids = ids if self._among is None else np.intersect1d(ids, self._among)
        self.matched = int((~np.isin(ids, list(named))).sum())

    def neighbours(self, vector: npt.NDArray[np.float32]) -> list[Found]:
        """The k cases for an embedding, float32 (C,); fewer where fewer remain."""
        return self._find(vector, self.search.k, self._among)

    def counter_examples(self, vector: npt.NDArray[np.float32], finding: str) -> list[Found]:
        """The most similar cases that are known not to have a finding, chosen as neighbours are."""
        if not self.search.counter_examples:
            return []
        if finding not in self._without:  # the images of a batch mostly ask for the same few
            others = replace(
                self.search.filter, any_of=(), all_of=(), none_of=(), known_absent=finding
            )
            self._without[finding] = self._catalog.matching(others)
        return self._find(vector, self.search.counter_examples, self._without[finding])

    def archived(
        self,
        vector: npt.NDArray[np.float32],
        inputs: npt.NDArray[np.uint8],
        neighbours: Sequence[Found],
    ) -> Case | None:
        """Find the case that shows a radiograph's own image, whatever the search leaves out.

        Args:
            vector: float32 (C,), embedding of the image.
            inputs: uint8 (s, s), what the network saw of it.
            neighbours: of that image.

        Returns:
            The most similar such case; None where none of the `MAX_COPIES` most similar is one.
        """
        everything = not self._narrowed and not self._excluded
        everything &= self.search.near_duplicates == "keep"
        if everything and neighbours and neighbours[0].similarity < COPY_COSINE:
            return None  # the most similar case of all is not similar enough
        return case_of_image(vector, inputs, self.generation, self._catalog, self._images)

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
            vectors = _vectors(self.generation, [one.case for one in found])
            chosen = choose(found, vectors, count, search, self._is_copy)
            searched = len(scored) < pool or scored[-1][1] < search.min_similarity
            if len(chosen) == count or searched or pool >= MAX_POOL:
                return chosen
            pool = min(4 * pool, MAX_POOL)

    def _is_copy(self, case: Case, chosen: Sequence[Case]) -> bool:
        """Tell whether a case shows the image of an excluded one, or of one that was chosen."""
        others = list(chosen)
        if self._left_out:
            near = self._left_out_vectors @ self.generation.vector(case.id) >= COPY_COSINE
            others += [self._left_out[place] for place in np.flatnonzero(near)]
        if not others:
            return False
        contrast = self._images.contrast(case.image_sha256)
        return any(self._images.same(contrast, other.image_sha256) for other in others)


def _vectors(generation: LiveIndex, cases: Sequence[Case]) -> npt.NDArray[np.float32]:
    """Embeddings of cases, float32 (n, C)."""
    if not cases:
        return np.empty((0, 0), np.float32)
    return np.stack([generation.vector(case.id) for case in cases])


def choose(
    found: Sequence[Found],
    vectors: npt.NDArray[np.float32],
    count: int,
    search: Search,
    is_copy: Callable[[Case, Sequence[Case]], bool],
) -> list[Found]:
    """Choose one case after the other, by maximal marginal relevance; each image once.

    Each time, of the cases that are left, the one with the largest
    (1 - d) * cos(query, case) - d * (largest cosine to a case chosen before), d the diversity
    (Carbonell & Goldstein, SIGIR 1998, with lambda = 1 - d). With d = 0 that is the order of
    similarity. Of equal ones, the one that was found first.

    Args:
        found: the candidates, the most similar first.
        vectors: float32 (n, C), their embeddings, unit length.
        count: how many are wanted.
        search: by what they are chosen.
        is_copy: tells whether a case shows the same image as one of those that were chosen before
            it and are so similar that they could (`COPY_COSINE`).
    """
    similarity = np.array([one.similarity for one in found])
    patient = np.array([one.case.patient or f"unknown {n}" for n, one in enumerate(found)])
    drop = search.near_duplicates == "drop"
    left = similarity >= search.min_similarity
    if drop:
        left &= similarity <= NEAR_DUPLICATE
    nearest = np.zeros(len(found))
    chosen: list[int] = []
    while len(chosen) < count and left.any():
        gain = (1 - search.diversity) * similarity - search.diversity * nearest
        best = int(np.argmax(np.where(left, gain, -np.inf)))
        left[best] = False
        cosine = vectors @ vectors[best]
        if is_copy(found[best].case, [found[n].case for n in chosen if cosine[n] >= COPY_COSINE]):
            continue
        chosen.append(best)
        if search.one_per_patient:
            left &= patient != patient[best]
        nearest = np.maximum(nearest, cosine)
        if drop:
            left &= cosine <= NEAR_DUPLICATE
    return [found[place] for place in chosen]
