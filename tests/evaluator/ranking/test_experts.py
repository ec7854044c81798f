"""Experts' ratings: the poster's Table 1, agreement, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.ranking.experts import (
    RatedList,
    agreement_with_experts,
    expert_rows,
    rated_lists,
    read_ratings,
)
from xemplar_evaluator.ranking.study import ranking
from xemplar_evaluator.section import Estimate

from xemplar.errors import DatasetError

HEAD = "query_id,case_id,rater,rating\n"


def written(folder: Path, *lines: str) -> Path:
    file = folder / "ratings.csv"
    file.write_text(HEAD + "\n".join(lines) + "\n")
    return file


def embeddings(**angles: float) -> dict[str, np.ndarray]:
    return {n: np.array([np.cos(a), np.sin(a)], np.float32) for n, a in angles.items()}


def test_the_cases_of_a_query_are_listed_by_similarity_with_both_ranks(tmp_path: Path) -> None:
    file = written(tmp_path, "q,near,ann,2", "q,near,bob,4", "q,far,ann,5", "q,middle,ann,1")
    known = embeddings(q=0.0, near=0.1, middle=0.5, far=1.0)
    (one,) = rated_lists(read_ratings(file, 5), file, known)
    rows = expert_rows([one]).rows
    assert [row[1] for row in rows] == ["near", "middle", "far"]
    assert [row[2] for row in rows] == pytest.approx(np.cos([0.1, 0.5, 1.0]))
    assert [row[3] for row in rows] == [1, 2, 3]
    assert [row[4] for row in rows] == [3, 1, 5]  # near is the mean of 2 and 4
    assert [row[5] for row in rows] == [2, 3, 1]


def test_cases_rated_alike_share_the_better_rank() -> None:
    one = RatedList("q", ("a", "b", "c"), np.array([0.9, 0.8, 0.7]), np.array([[4.0, 4.0, 1.0]]))
    assert [row[5] for row in expert_rows([one]).rows] == [1, 1, 3]


def test_agreement_is_the_value_worked_out_by_hand(data: EvaluationData) -> None:
    # ratings 3, 0, 2, 1 in the order of similarity: nDCG as worked out in test_metrics.
    # tau: of the 6 pairs, (3,0) (3,2) (3,1) fall as the similarity does, (2,1) too; (0,2) and
    # (0,1) rise: (4 - 2) / 6
    ratings = np.array([[3.0, 0.0, 2.0, 1.0]])
    one = RatedList("q", ("a", "b", "c", "d"), np.array([0.9, 0.8, 0.7, 0.6]), ratings)
    rows = {row[0]: row[1] for row in agreement_with_experts([one], data).rows}
    assert rows["nDCG, linear gain"].value == pytest.approx(4.430677 / 4.761860, abs=1e-6)
    assert rows["nDCG, exponential gain"].value == pytest.approx(8.930677 / 9.392789, abs=1e-6)
    assert rows["Kendall's tau-b, ranking and mean rating"].value == pytest.approx(2 / 6)
    assert rows["Kendall's tau-b between raters"] is None  # there is one rater


def test_raters_agree_as_much_as_their_orders_do(data: EvaluationData) -> None:
    # ann 1 2 3, bob 1 3 2: pairs (1,2) and (1,3) agree, (2,3) does not: (2 - 1) / 3
    ratings = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])
    one = RatedList("q", ("a", "b", "c"), np.array([0.9, 0.8, 0.7]), ratings)
    rows = {row[0]: row[1] for row in agreement_with_experts([one], data).rows}
    assert rows["Kendall's tau-b between raters"].value == pytest.approx(1 / 3)


def test_a_query_whose_cases_are_all_rated_0_is_left_out_and_counted(data: EvaluationData) -> None:
    rated = RatedList("q", ("a", "b"), np.array([0.9, 0.8]), np.array([[2.0, 1.0]]))
    zero = RatedList("r", ("a", "b"), np.array([0.9, 0.8]), np.array([[0.0, 0.0]]))
    table = agreement_with_experts([rated, zero], data)
    assert table.rows[0][1] == Estimate(1.0, None, None, 1)
    assert "1 queries whose cases were all rated 0 are left out" in table.caption


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q,a,ann,6", "line 2: rating 6 is not between 0 and 5"),
        ("q,a,ann,-1", "line 2: rating -1 is not between 0 and 5"),
        ("q,a,ann,nan", "line 2: rating nan is not between 0 and 5"),
        ("q,a,ann,good", "line 2: rating 'good' is no number"),
        ("q,,ann,3", "line 2: query_id, case_id and rater must not be empty"),
        ("q,a,ann,3\nq,a,ann,4", "line 3: ann rated case a for query q in line 2 already"),
    ],
)
def test_a_wrong_line_is_refused_with_file_line_and_reason(
    tmp_path: Path, line: str, reason: str
) -> None:
    with pytest.raises(DatasetError, match=reason) as refused:
        read_ratings(written(tmp_path, line), 5)
    assert "ratings.csv" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q,nobody,ann,3", "line 2: there is no case 'nobody'"),
        ("nobody,q,ann,3", "line 2: there is no query 'nobody'"),
        ("q,q,ann,3", "line 2: case q is rated for itself"),
    ],
)
def test_an_unknown_case_is_refused_with_file_line_and_reason(
    tmp_path: Path, line: str, reason: str
) -> None:
    file = written(tmp_path, line)
    with pytest.raises(DatasetError, match=reason):
        rated_lists(read_ratings(file, 5), file, embeddings(q=0.0))


def test_a_file_without_its_columns_or_without_ratings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("query_id,case_id\n")
    with pytest.raises(DatasetError, match="lacks the column"):
        read_ratings(tmp_path / "other.csv", 5)
    with pytest.raises(DatasetError, match="holds no rating"):
        read_ratings(written(tmp_path), 5)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_ratings(tmp_path / "absent.csv", 5)


def test_ratings_enter_the_study_with_a_picture_of_each_query_and_no_file_and_no_patient(
    data: EvaluationData, tmp_path: Path
) -> None:
    query = data.queries.case_ids[0]
    cases = [case.case_id for case in data.candidates.cases[:3]]
    file = written(tmp_path, *(f"{query},{case},ann,{n}" for n, case in enumerate(cases)))
    section = ranking(data, file)
    assert [table.name for table in section.tables[:2]] == ["experts", "experts-cases"]
    assert f"experts-{query}" in [picture.name for picture in section.pictures]
    text = str(section.to_dict())
    assert not [f.file for f in data.queries.records if f.file and f.file in text]
    assert not [p for p in data.queries.patients if p and p in text]
