"""Remembered queries in the database: whose they are, and when they are forgotten."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.xemplar.catalog.test_catalog import entry
from xemplar.catalog import Catalog, case_id_of
from xemplar.operations.queries import Queries, RememberedQuery, surplus

NOW = datetime.now(UTC)


def query(name: str, key: str | None = "ann", hours_ago: float = 0.0) -> RememberedQuery:
    at = NOW - timedelta(hours=hours_ago)
    return RememberedQuery(name, f"image {name}", key, False, at, name.encode() * 1000)


@pytest.fixture
def queries(catalog: Catalog) -> Queries:
    return Queries(catalog.engine)


def names(queries: Queries, wanted: Sequence[str], key: str | None = "ann") -> list[str]:
    return [name for name in wanted if queries.find(name, key) is not None]


def test_a_query_is_found_as_it_was_put(queries: Queries) -> None:
    queries.put([query("one"), query("two")])
    found = queries.find("two", "ann")
    assert found is not None
    assert vars(found) == vars(query("two"))
    assert queries.find("three", "ann") is None


def test_a_query_that_is_there_stays_as_it_is(queries: Queries) -> None:
    queries.put([query("one")])
    queries.put([replace(query("one", "bob"), content=b"another"), query("two", "bob")])
    found = queries.find("one", "ann")
    assert found is not None
    assert found.content == query("one").content
    assert queries.find("two", "bob") is not None


@pytest.mark.parametrize(("owner", "other"), [("ann", "bob"), ("ann", None), (None, "bob")])
def test_a_query_is_its_key_s_until_it_is_shared(
    queries: Queries, owner: str | None, other: str | None
) -> None:
    queries.put([query("one", owner)])
    assert queries.find("one", other) is None
    assert not queries.has_image("image one", other)
    assert not queries.share("one", other)
    assert queries.has_image("image one", owner)
    assert queries.share("one", owner)
    found = queries.find("one", other)
    assert found is not None
    assert (found.key, found.shared) == (owner, True)
    assert queries.has_image("image one", other)


def test_what_is_too_old_is_forgotten(queries: Queries) -> None:
    queries.put([query("old", hours_ago=25), query("young", hours_ago=23)])
    assert queries.forget(24, 100) == 1
    assert names(queries, ["old", "young"]) == ["young"]
    assert queries.forget(24, 100) == 0


def test_beyond_the_capacity_the_oldest_of_the_key_with_the_most_is_forgotten(
    queries: Queries,
) -> None:
    queries.put([query("ann's", "ann", 9), *(query(f"bob's {n}", "bob", 5 - n) for n in range(3))])
    assert queries.forget(24, 2) == 2
    assert names(queries, ["ann's"]) == ["ann's"]
    assert names(queries, [f"bob's {n}" for n in range(3)], "bob") == ["bob's 2"]


def test_of_keys_that_hold_as_many_the_older_query_is_forgotten() -> None:
    assert surplus([("1", "a"), ("2", "b"), ("3", "c"), ("4", "b")], 2) == ["2", "1"]
    assert surplus([("1", "a")], 1) == []


def test_queries_of_a_removed_case_s_image_go_with_it(catalog: Catalog, queries: Queries) -> None:
    catalog.add("c" * 64, [entry(1), entry(2)])
    cases = [case_id_of(entry(n).image_sha256) for n in (1, 2)]
    queries.put([replace(query(case), image_id=case) for case in cases])
    catalog.remove(cases[:1])
    assert names(queries, cases) == cases[1:]
