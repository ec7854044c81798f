"""Words rank cases by their reports, and are fused with the image by reciprocal rank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xemplar.catalog.test_filters import CHECKPOINT, described
from xemplar.catalog import Catalog
from xemplar.errors import InvalidArgument
from xemplar.reports.report import StoredReport
from xemplar.reports.terms import Wanted
from xemplar.retrieval.words import IMAGE_OFFSET, WORDS_OFFSET, WordRanking, fuse

TEXTS = [
    "Effusion.",
    "Effusion. Cardiomegaly.",
    "No effusion.",
    "Cardiomegaly. No effusion.",
    "Pneumothorax.",
    "Effusion.",
]


@pytest.fixture
def reported(catalog: Catalog) -> Catalog:
    """Cases 1 to 6 with the reports above, and case 7 without one."""
    entries = [described(number) for number in range(7)]
    catalog.add(CHECKPOINT, entries)
    pairs = zip(entries, TEXTS, strict=False)
    catalog.reports.put({entry.image_sha256: StoredReport(text) for entry, text in pairs})
    return catalog


def ranks(ranking: WordRanking) -> list[list[int]]:
    return [group.tolist() for group in ranking.groups()]


def test_cases_with_more_of_the_words_come_first_and_equal_ones_share_a_rank(
    reported: Catalog,
) -> None:
    ranking = WordRanking.of(reported, "effusion with cardiomegaly", 7)
    assert ranks(ranking) == [[2], [4], [1, 6]]  # cardiomegaly is rarer than effusion
    assert [ranking.rank(case) for case in range(1, 8)] == [3, 1, None, 2, None, 3, None]


def test_a_denial_ranks_reports_that_deny(reported: Catalog) -> None:
    assert ranks(WordRanking.of(reported, "no effusion", 7)) == [[3, 4]]


def test_a_ranking_of_some_cases_alone(reported: Catalog) -> None:
    ranking = WordRanking.of(reported, "effusion", 7)
    assert ranks(ranking.among(np.array([1, 3, 6]))) == [[1, 6]]
    assert ranks(ranking.without(np.array([1]))) == [[2, 6]]
    assert ranks(ranking.among(np.array([3]))) == []


@pytest.mark.parametrize(
    ("depth", "parts"),
    [
        (1, [([2], 1)]),
        (2, [([2, 4], 2)]),
        (3, [([2, 4], 2), ([1, 6], 1)]),
        (9, [([1, 2, 4, 6], 4)]),
    ],
)
def test_the_best_cases_are_whole_ranks_and_a_part_of_the_next(
    reported: Catalog, depth: int, parts: list[tuple[list[int], int]]
) -> None:
    ranking = WordRanking.of(reported, "effusion with cardiomegaly", 7)
    assert [(ids.tolist(), most) for ids, most in ranking.first(depth)] == parts


def test_words_that_are_in_no_report_find_nothing(reported: Catalog) -> None:
    assert ranks(WordRanking.of(reported, "emphysema", 7)) == []


def test_a_text_without_words_is_refused(reported: Catalog) -> None:
    with pytest.raises(InvalidArgument, match="no word that reports hold"):
        WordRanking.of(reported, "Kowalski", 7)


def ranking_of(scores: dict[int, float]) -> WordRanking:
    ids = np.array(sorted(scores), np.int64)
    return WordRanking(Wanted(("x",)), ids, np.array([scores[int(case)] for case in ids]))


def test_a_case_scores_the_sum_of_its_reciprocal_ranks() -> None:
    first, second, third = fuse([10, 20], [30], ranking_of({20: 2.0, 30: 1.0}))
    assert (first.case, first.image_rank, first.words_rank) == (20, 2, 1)
    assert first.score == 1 / (IMAGE_OFFSET + 2) + 1 / (WORDS_OFFSET + 1)
    assert (second.case, second.image_rank, second.words_rank) == (30, None, 2)
    assert (third.case, third.image_rank, third.words_rank) == (10, 1, None)


@given(st.permutations(range(1, 9)))
def test_without_a_matching_report_the_image_decides(by_image: list[int]) -> None:
    fused = fuse(by_image, [], ranking_of({}))
    assert [one.case for one in fused] == by_image


@given(st.permutations(range(1, 9)))
def test_if_all_reports_match_alike_the_image_decides(by_image: list[int]) -> None:
    fused = fuse(by_image, [], ranking_of(dict.fromkeys(range(1, 9), 1.0)))
    assert [one.case for one in fused] == by_image
