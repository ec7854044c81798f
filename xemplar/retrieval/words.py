"""Ranks cases by the words of their reports, and fuses that ranking with the image's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from xemplar.catalog import Catalog
from xemplar.reports.terms import Wanted, wanted

IMAGE_OFFSET, WORDS_OFFSET = 60, 10
"""Added to each rank before its reciprocal is taken. 60 is Cormack's (SIGIR 2009); with it for the
words as well, a few cases that say all that was asked for went under among similar images."""

DEPTH = 200
"""Cases of each ranking that are fused, at least."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class WordRanking:
    """Cases whose reports have a term that a search asks for.

    A case scores the sum of its terms' weights, log(1 + N / n) for a term in n of N reports: what
    few reports say counts more. Cases of the same score share a rank, which is one more than the
    number of cases above them.

    Attributes:
        asked: the terms, and words that no report can hold.
        ids: int64 (n,), ascending.
        scores: float64 (n,), above 0.
    """

    asked: Wanted
    ids: Ids
    scores: npt.NDArray[np.float64]

    @classmethod
    def of(cls, catalog: Catalog, text: str, cases: int) -> Self:
        """Rank the cases of a catalog.

        Args:
            catalog: has the reports.
            text: that the search asks for.
            cases: number of cases in the index.

        Raises:
            InvalidArgument: nothing in the text can be searched for.
        """
        asked = wanted(text)
        found = catalog.reports.saying_each(asked.terms)
        by_id = np.zeros(1 + max((int(some[-1]) for some in found if len(some)), default=0))
        for some in found:
            by_id[some] += np.log(1 + max(cases, 1) / max(len(some), 1))
        ids = np.flatnonzero(by_id)
        return cls(asked, ids, by_id[ids])

    def among(self, allowed: Ids) -> Self:
        """Return the ranking of those of its cases that are among some, by their ids."""
        kept = np.isin(self.ids, allowed, assume_unique=True)
        return replace(self, ids=self.ids[kept], scores=self.scores[kept])

    def without(self, excluded: Ids) -> Self:
        """Return the ranking of the other cases."""
        kept = ~np.isin(self.ids, excluded)
        return replace(self, ids=self.ids[kept], scores=self.scores[kept])

    def rank(self, case: int) -> int | None:
        """Return the rank of a case, from 1; None if it has none of the terms."""
        return self.ranks([case])[0]

    def ranks(self, cases: Sequence[int]) -> list[int | None]:
        """Return the ranks of cases, as `rank` does."""
        if not len(self.ids):
            return [None] * len(cases)
        asked = np.array(cases, np.int64)
        places = np.minimum(np.searchsorted(self.ids, asked), len(self.ids) - 1)
        levels, counts = self._levels
        better = np.append(np.cumsum(counts[::-1])[::-1], 0)  # cases of a level or above
        ranks = 1 + better[np.searchsorted(levels, self.scores[places], "right")]
        known = self.ids[places] == asked
        return [int(rank) if there else None for rank, there in zip(ranks, known, strict=True)]

    def groups(self) -> Iterator[Ids]:
        """Yield the cases of each rank, the best first; ids ascending."""
        for level in self._levels[0][::-1]:
            yield self.ids[self.scores == level]

    def first(self, depth: int) -> Iterator[tuple[Ids, int]]:
        """Yield the best cases in two parts, to be searched at once, and how many to take of each.

        All cases of the ranks that fit into the depth, ascending; then those of the next rank.
        """
        whole, left, rest = list[Ids](), depth, None
        for group in self.groups():
            if len(group) > left:
                rest = group
                break
            whole.append(group)
            left -= len(group)
        if whole:
            yield np.sort(np.concatenate(whole)), depth - left
        if rest is not None and left:
            yield rest, left

    @cached_property
    def _levels(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Distinct scores, ascending, and the number of cases with each.

        Cases with the same terms have the very same score, as weights are added in one order.
        """
        levels, counts = np.unique(self.scores, return_counts=True)
        return levels, counts


@dataclass(frozen=True)
class Fused:
    """A case's ranks by image and by words.

    Attributes:
        case: its id.
        score: sum of the reciprocals of both ranks, with `IMAGE_OFFSET` and `WORDS_OFFSET` added.
        image_rank: from 1; None beyond the depth of the image's ranking.
        words_rank: from 1; None without any of the words.
    """

    case: int
    score: float
    image_rank: int | None
    words_rank: int | None


def fuse(by_image: Sequence[int], also: Sequence[int], words: WordRanking) -> list[Fused]:
    """Fuse two rankings by reciprocal rank, best first; ties go to the better image.

    Args:
        by_image: ids by similarity, the most similar first.
        also: ids of further cases, from the words' ranking, the most similar of a rank first.
        words: ranking by words.
    """
    image_ranks = {case: rank for rank, case in enumerate(by_image, start=1)}
    fused, cases = [], [*dict.fromkeys([*by_image, *also])]
    for case, said in zip(cases, words.ranks(cases), strict=True):
        by = image_ranks.get(case)
        score = 0 if by is None else 1 / (IMAGE_OFFSET + by)
        score += 0 if said is None else 1 / (WORDS_OFFSET + said)
        fused.append(Fused(case, score, by, said))
    return sorted(fused, key=lambda one: -one.score)


def ranked_by_words(case: int, words: WordRanking) -> Fused:
    """Rank a case by words alone, where a search has no image."""
    return fuse([], [case], words)[0]
