"""Selection of the cases to return: filters, exclusions, diversity, counter-examples."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xemplar.api.search import CaseFilter, Search
from xemplar.catalog import Case, CaseReport, Catalog
from xemplar.catalog.tally import Tally
from xemplar.errors import NotFound
from xemplar.index import Hits, LiveIndex
from xemplar.index.exact import rows_of
from xemplar.index.milvus.columns import Condition
from xemplar.model.densenet import Features
from xemplar.reports.terms import Place, places
from xemplar.retrieval.choice import Found, choose
from xemplar.retrieval.duplicates import (
    COPY_COSINE,
    MAX_COPIES,
    StoredImages,
    case_of_image,
    copy_among,
    first_copy,
)
from xemplar.retrieval.prevalence import Prevalence, prevalence
from xemplar.retrieval.steering import Target, target_of
from xemplar.retrieval.words import DEPTH, Fused, WordRanking, fuse

POOL_FACTOR, MIN_POOL = 5, 50
"""Selection considers POOL_FACTOR * count of the most similar cases, and at least MIN_POOL."""

MAX_POOL = 4096
"""Most candidates considered; if too many of them are rejected, fewer than k cases are returned."""

MORE_OF_PATIENT = 20
"""Cases of a patient that are named beside the one shown."""


@dataclass(frozen=True)
class Selection:
    """Selected cases, in order of selection.

    Attributes:
        cases: the cases and their similarities.
        recall_at_10: of the search that found them, see `Hits`.
        nearest: what it chose from, the most similar first; empty if words took part.
        by_image: the ranking by image alone, if words took part.
    """

    cases: Sequence[Found]
    recall_at_10: float = 1.0
    nearest: Sequence[Found] = ()
    by_image: Hits | None = None


class _Matching(NamedTuple):
    """The cases that meet a filter.

    Attributes:
        mask: bool (N,), in order of the index's ids.
        condition: see `LiveIndex.condition`.
    """

    mask: npt.NDArray[np.bool_]
    condition: Condition | None


class Scope:
    """The candidates of a `Search`, resolved once and shared by all images of a request.

    Attributes:
        search: the search parameters.
        generation: index that all neighbours come from, even if another becomes live meanwhile.
        images: compares the stored images of cases.
        matched: number of its cases that meet the filter, without the cases in ``exclude``,
            ``exclude_patient_of``, ``with_case``, ``like`` and ``unlike``. Other images of those
            patients count, so that the number does not reveal how many there are.
        words: ranking of the candidates by the search's text; None without one.
    """

    def __init__(
        self,
        generation: LiveIndex,
        catalog: Catalog,
        images: StoredImages,
        search: Search,
        others: Sequence[npt.NDArray[np.float32]] = (),
    ) -> None:
        """Resolves filters in memory, and exclusions in the catalog.

        Args:
            generation: index to search.
            catalog: describes its cases.
            images: compares the stored images of cases.
            search: the search parameters.
            others: embeddings of the question's other images, (C,), before those of its cases.

        Raises:
            NotFound: an excluded case does not exist, or a marked one, or one of the question, is
                not in the index.
            UnknownFinding: the filter names a finding of no vocabulary and no case.
        """
        self.search = search
        self.generation = generation
        self._catalog = catalog
        self.images = images
        of_patients = [catalog.case(case_id) for case_id in search.exclude_patient_of]
        like, unlike, among = (
            [catalog.case(case_id) for case_id in dict.fromkeys(ids)]
            for ids in (search.like, search.unlike, search.with_case)
        )
        self._like = _named(generation, like, "unmark it")
        self._unlike = _named(generation, unlike, "unmark it")
        of_cases = _named(generation, among, "take it out of the question")
        self._others = np.stack([*others, *of_cases]) if others or among else of_cases
        named = {catalog.case(case_id).id for case_id in search.exclude}
        named.update(case.id for case in (*like, *unlike, *among))
        named.update(case.id for case in of_patients)
        patients = {case.patient for case in of_patients if case.patient}
        same = (number for patient in patients for number in catalog.patient_ids(patient))
        self._excluded = catalog.cases(named.union(same))
        there = [case for case in self._excluded.values() if case.id in generation]
        self._left_out, self._left_out_vectors = there, _vectors(generation, there)
        self._without: dict[str, _Matching] = {}
        self._matching: _Matching | None = None
        self._tally: Tally | None = None
        if catalog.access.sources is not None or not search.matches_all:
            self._matching = self._match(search)
        named_rows = rows_of(np.fromiter(named, np.int64, len(named)), generation.ids)
        matching = (
            np.ones(len(generation.ids), bool) if self._matching is None else self._matching.mask
        )
        self.words = self._rank_by_words()
        self.matched = int(np.count_nonzero(matching) - np.count_nonzero(matching[named_rows]))

    def target(self, features: Features, region: npt.NDArray[np.float64] | None) -> Target:
        """Computes the search vector of an image; see `target_of`."""
        return target_of(features, region, self._like, self._unlike, self._others)

    def neighbours(self, target: Target) -> Selection:
        """Returns the k cases for a search vector, or fewer if fewer qualify."""
        if self.words is not None:
            return self._fused(target, self.words)
        return self._find(target, self.search.k, self._matching)

    def by_words(self, words: WordRanking) -> Sequence[Found]:
        """Returns the k cases with the best ranks by words, the newest of a rank first."""
        first: list[int] = []
        most = max(DEPTH, POOL_FACTOR * self.search.k)
        for group in words.groups():
            first += group[::-1][: most - len(first)].tolist()
            if len(first) == most:
                break
        # without an image no case is similar to it
        return self._chosen(fuse([], first, words), lambda case, one, _: Found(case, 0, 0, one))

    def counter_examples(
        self, target: Target, finding: str, shown: Sequence[Found] = ()
    ) -> Selection:
        """Returns the most similar cases known not to have a finding, selected like neighbours.

        Cases that are ``shown`` among the neighbours are left out, so that none comes twice.
        """
        if not self.search.counter_examples:
            return Selection(())
        if finding not in self._without:  # images of a batch often share an explained finding
            no_findings: dict[str, tuple[str, ...]] = {"any_of": (), "all_of": (), "none_of": ()}
            others = self.search.model_copy(update=no_findings)
            self._without[finding] = self._match(others, finding)
        above = {one.case.id for one in shown}
        return self._find(target, self.search.counter_examples, self._without[finding], above)

    def usual(self, target: Target) -> npt.NDArray[np.float64]:
        """Returns the cosines of an image to a sample of cases, ascending."""
        cosines = self.generation.sample(self._catalog) @ target.image
        return np.sort(cosines.astype(np.float64))

    def more_of_patient(self, shown: Sequence[Case]) -> dict[str, tuple[str, ...]]:
        """Finds the other cases of the patients shown, where each patient is shown once.

        Returns:
            By the id of a case shown: up to `MORE_OF_PATIENT` ids of cases that the caller can see
            and that the search does not exclude by id. Empty without ``one_per_patient``.
        """
        if not self.search.one_per_patient:
            return {}
        of_patient: dict[str, list[int]] = {}
        for case in shown:
            if case.patient:
                numbers = self._catalog.patient_ids(case.patient)
                others = (n for n in numbers if n != case.id and n not in self._excluded)
                found = [n for n in others if n in self.generation]
                of_patient[case.case_id] = found[:MORE_OF_PATIENT]
        cases = self._catalog.cases(n for some in of_patient.values() for n in some)
        return {
            name: tuple(cases[n].case_id for n in some if n in cases)
            for name, some in of_patient.items()
        }

    def prevalence(self, similar: Sequence[Found], own: Case | None) -> Prevalence | None:
        """Compares the cases found with all that match; None unless the search asks for it."""
        if not self.search.prevalence:
            return None
        if self._tally is None:  # the images of a batch share it
            mask = None if self._matching is None else self._matching.mask
            self._tally = self.generation.tally(self._catalog, mask)
        return prevalence((one.case for one in similar), self._tally, own)

    def reports_of(self, shown: Sequence[Case]) -> Mapping[int, CaseReport]:
        """Reads the reports of the cases shown, by their numbers; cases without one are missing."""
        return self._catalog.reports.of(case.id for case in shown if case.has_report)

    def marks(self, report: CaseReport | None) -> tuple[Place, ...]:
        """Finds the words of a report that the search's text names."""
        if report is None or self.words is None:
            return ()
        return places(report.report, self.words.asked.terms)

    def archived(
        self, target: Target, inputs: npt.NDArray[np.uint8], neighbours: Selection
    ) -> Case | None:
        """Finds the case that shows the query image itself, even if the search excludes it.

        Args:
            target: of the image.
            inputs: uint8 (s, s), network input of the image.
            neighbours: of the image.

        Returns:
            The most similar such case; None if none of the `MAX_COPIES` most similar cases is one.
        """
        everything = self.search.matches_all and not self._excluded and target.parts is None
        if everything and neighbours.by_image is not None:
            return copy_among(neighbours.by_image, inputs, self._catalog, self.images)
        nearest = neighbours.nearest[:MAX_COPIES]
        near = [one.case for one in nearest if one.similarity >= COPY_COSINE]
        if everything and (len(near) < len(nearest) or len(nearest) == MAX_COPIES):
            return first_copy(near, inputs, self.images)  # no other case is as similar
        return case_of_image(target.image, inputs, self.generation, self._catalog, self.images)

    def _match(self, wanted: CaseFilter, known_absent: str | None = None) -> _Matching:
        """Selects the cases that meet a filter, and describes it for an index in Milvus."""
        about = (self._catalog, wanted, known_absent)
        # the mask first: Milvus then also looks at what changed while it was made
        return _Matching(self.generation.matching(*about), self.generation.condition(*about))

    def _rank_by_words(self) -> WordRanking | None:
        """Ranks the candidates by the search's text."""
        if self.search.text is None:
            return None
        ids = self.generation.ids
        allowed = ids if self._matching is None else ids[self._matching.mask]
        ranking = WordRanking.of(self._catalog, self.search.text, len(ids)).among(allowed)
        if not self._excluded:
            return ranking
        return ranking.without(np.fromiter(self._excluded, np.int64))

    def _fused(self, target: Target, words: WordRanking) -> Selection:
        """Selects cases by the fused rankings of image and words."""
        depth = max(DEPTH, POOL_FACTOR * self.search.k)
        everything = self._matching
        among = None if everything is None else self.generation.ids[everything.mask]
        condition = None if everything is None else everything.condition
        hits = self._hits(target, depth, among, condition)
        by_image = {int(i): float(s) for i, s in zip(hits.ids, hits.similarity, strict=True)}
        also: dict[int, float] = {}
        for group, most in words.first(depth):
            near = self._hits(target, most, group, None)
            pairs = zip(near.ids, near.similarity, strict=True)
            also.update((int(i), float(s)) for i, s in pairs)
        scores = also | by_image
        ranked = fuse(list(by_image), list(also), words)

        def scored(case: Case, one: Fused, vector: npt.NDArray[np.float32]) -> Found:
            score = scores[one.case]
            similarity = score if target.parts is None else target.similarity(vector)
            return Found(case, similarity, score, one)

        return Selection(self._chosen(ranked, scored), hits.recall_at_10, by_image=hits)

    def _chosen(
        self,
        ranked: Sequence[Fused],
        scored: Callable[[Case, Fused, npt.NDArray[np.float32]], Found],
    ) -> list[Found]:
        """Selects cases in their order, and reads no more of them than that takes.

        Args:
            ranked: candidates, the best first.
            scored: makes a found case of it, its place in the rankings and its embedding.
        """
        pool = max(POOL_FACTOR * self.search.k, MIN_POOL) if self._is_picky else self.search.k
        while True:
            first = ranked[:pool]
            cases = self._catalog.cases(one.case for one in first)
            there = [one for one in first if one.case in cases]
            vectors = _vectors(self.generation, [cases[one.case] for one in there])
            found = [
                scored(cases[one.case], one, vector)
                for one, vector in zip(there, vectors, strict=True)
            ]
            chosen = choose(found, vectors, self.search.k, self.search, self._is_copy)
            if len(chosen) == self.search.k or pool >= len(ranked):
                return chosen
            pool *= 4

    def _hits(
        self,
        target: Target,
        count: int,
        among: npt.NDArray[np.int64] | None,
        condition: Condition | None,
    ) -> Hits:
        """Finds the most similar of some cases, without the excluded ones."""
        return self.generation.search(
            target.vector,
            count,
            self._excluded,
            among,
            exact=self.search.exact,
            condition=condition,
        )

    def _find(
        self,
        target: Target,
        count: int,
        matching: _Matching | None,
        above: Collection[int] = (),
    ) -> Selection:
        """Searches and selects, with a larger pool while too many candidates are rejected.

        Skips cases that were removed from the catalog after the generation was built.
        """
        among, condition = None, None
        if matching is not None:
            # by row: many times faster than by the mask itself
            among = self.generation.ids[np.flatnonzero(matching.mask)]
            condition = matching.condition
        search, excluded = self.search, {*self._excluded, *above}
        pool = max(POOL_FACTOR * count, MIN_POOL) if self._is_picky else count
        while True:
            hits = self.generation.search(
                target.vector, pool, excluded, among, exact=search.exact, condition=condition
            )
            cases = self._catalog.cases(map(int, hits.ids))
            scored = [(int(i), float(s)) for i, s in zip(hits.ids, hits.similarity, strict=True)]
            there = [(cases[number], score) for number, score in scored if number in cases]
            vectors = _vectors(self.generation, [case for case, _ in there])
            found = [
                Found(case, score if target.parts is None else target.similarity(vector), score)
                for (case, score), vector in zip(there, vectors, strict=True)
            ]
            chosen = choose(found, vectors, count, search, self._is_copy)
            searched = len(scored) < pool or scored[-1][1] < search.min_similarity
            if len(chosen) == count or searched or pool >= MAX_POOL:
                return Selection(chosen, hits.recall_at_10, found)
            pool = min(4 * pool, MAX_POOL)

    @property
    def _is_picky(self) -> bool:
        """True if many of the most similar cases may be rejected."""
        search = self.search
        drops = search.near_duplicates == "drop"
        return bool(search.diversity) or search.one_per_patient or drops

    def _is_copy(self, case: Case, chosen: Sequence[Case]) -> bool:
        """Returns True if a case shows the image of an excluded or already selected case."""
        others = list(chosen)
        if self._left_out:
            near = self._left_out_vectors @ self.generation.vector(case.id) >= COPY_COSINE
            others += [self._left_out[place] for place in np.flatnonzero(near)]
        if not others:
            return False
        contrast = self.images.contrast(case.image_sha256)
        return any(self.images.same(contrast, other.image_sha256) for other in others)


def _named(generation: LiveIndex, cases: Sequence[Case], otherwise: str) -> npt.NDArray[np.float32]:
    """Returns the embeddings of cases that a search names, float32 (n, C).

    Raises:
        NotFound: one of them is not in the index; the message ends in ``otherwise``.
    """
    missing = next((case for case in cases if case.id not in generation), None)
    if missing is not None:
        raise NotFound(f"case {missing.case_id} is not in the live index generation; {otherwise}")
    return _vectors(generation, cases)


def _vectors(generation: LiveIndex, cases: Sequence[Case]) -> npt.NDArray[np.float32]:
    """Returns the embeddings of cases, float32 (n, C)."""
    if not cases:
        return np.empty((0, 0), np.float32)
    return np.stack([generation.vector(case.id) for case in cases])
