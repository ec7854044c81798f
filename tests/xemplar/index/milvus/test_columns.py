"""Expressions name the fields and numbers that a collection has; no server is needed."""

from datetime import date

import pytest

from xemplar.api import CaseFilter
from xemplar.data.findings import NO_FINDING
from xemplar.index.milvus.columns import NONE, UNKNOWN, Condition, Names, in_list, rows

NAMES = Names(
    sexes=["M", "F"],
    views=["PA", "LL"],
    sources=["one", "other"],
    findings=["Mass", NO_FINDING, 'a "quoted" one'],
)


@pytest.mark.parametrize(
    ("wanted", "expression"),
    [
        (CaseFilter(), ""),
        (CaseFilter(sex="F"), "(sex in [1])"),
        (CaseFilter(view=("PA", "AP")), "(view in [0])"),
        (CaseFilter(view=("AP",)), f"({NONE})"),
        (CaseFilter(source=("other", "one")), "(source in [0, 1])"),
        (CaseFilter(any_of=("Mass",)), "(array_contains_any(present, [0]))"),
        (CaseFilter(none_of=("Mass",)), "(not (array_contains_any(present, [0])))"),
        (CaseFilter(none_of=("Edema",)), f"(not ({NONE}))"),
        (
            CaseFilter(all_of=("Mass", NO_FINDING)),
            "(array_contains_any(present, [0])) and (array_contains_any(present, [1]))",
        ),
        (CaseFilter(age_min=40), "(age >= 40)"),
        (CaseFilter(age_max=60), "(age >= 0) and (age <= 60)"),
        (CaseFilter(indexed_since=date(1970, 1, 2)), "(day >= 1)"),
        (CaseFilter(indexed_until=date(2025, 3, 1)), "(day <= 20148)"),
    ],
)
def test_a_filter_is_an_expression(wanted: CaseFilter, expression: str) -> None:
    assert NAMES.expression(Condition(wanted)) == expression


def test_names_that_people_chose_are_in_no_expression() -> None:
    wanted = CaseFilter(source=('x"] or case in [1',), any_of=('a "quoted" one',))
    assert NAMES.expression(Condition(wanted)) == (
        f"(array_contains_any(present, [2])) and ({NONE})"
    )


def test_a_finding_is_absent_by_its_label_or_with_all_others() -> None:
    condition = Condition(CaseFilter(), "Mass", ["one"])
    assert NAMES.expression(condition) == (
        "((array_contains_any(absent, [0])) or (array_contains_any(present, [1]))) "
        "and (source in [0])"
    )
    assert NAMES.expression(Condition(CaseFilter(), NO_FINDING)) == (
        "((array_contains_any(absent, [1])))"
    )


def test_a_case_removed_while_it_is_written_has_no_metadata() -> None:
    names = Names()
    (row,) = rows([7], {}, names)
    assert row == {
        "case": 7,
        **dict.fromkeys(("sex", "age", "view", "source", "day"), UNKNOWN),
        "present": [],
        "absent": [],
    }
    assert names == Names()


def test_a_list_without_cases_matches_none() -> None:
    assert in_list([]) == NONE
    assert in_list([1, 20]) == "case in [1,20]"
