"""``xemplar watch`` on a store of drawn images."""

from datetime import UTC, datetime, timedelta

import pytest
from typer import Typer
from typer.testing import CliRunner, Result
from xemplar_indexer.watch.arrivals import read_arrivals
from xemplar_indexer.watch.cli import watch

from tests.stores import CASES, SmallStore
from xemplar.catalog import open_catalog
from xemplar.catalog.schema import writing
from xemplar.catalog.tables import CaseRow
from xemplar.errors import NothingIndexed
from xemplar.model.checkpoint import load

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def arrived(own: SmallStore) -> SmallStore:
    """The last three cases arrived today, the others long ago."""
    with open_catalog(own.store.database_url) as catalog, writing(catalog.engine) as connection:
        earlier = CaseRow.__table__.update().where(CaseRow.id <= CASES - 3)  # type: ignore[attr-defined]
        connection.execute(earlier.values(created_at=LONG_AGO))
    return own


def run(store: SmallStore, *words: str) -> Result:
    app = Typer()
    app.command()(watch)
    there = ("--store", str(store.store.root), "--checkpoint", str(store.checkpoint))
    result = CliRunner().invoke(app, [*there, *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_window_is_what_came_since_and_the_reference_what_was_before(
    arrived: SmallStore,
) -> None:
    since = datetime.now(UTC) - timedelta(days=7)
    network = load(arrived.checkpoint)
    reference, window = read_arrivals(arrived.store, "", network, since, 200)
    assert (len(reference), len(window)) == (CASES - 3, 3)
    assert set(window.views) == {"PA"}
    assert sorted(window.numbers["age"]) == [30 + n for n in range(CASES - 3, CASES)]
    assert all(0 < value < 255 for value in window.numbers["brightness"])
    assert set(window.kinds["source"]) == {"drawn"}


def test_a_window_holds_the_latest_images(arrived: SmallStore) -> None:
    since = datetime.now(UTC) - timedelta(days=7)
    _, window = read_arrivals(arrived.store, "", load(arrived.checkpoint), since, 2)
    assert sorted(window.numbers["age"]) == [30 + CASES - 2, 30 + CASES - 1]


def test_too_few_images_are_said_to_be_too_few(arrived: SmallStore) -> None:
    result = run(arrived)
    assert result.exit_code == 0
    assert "too few images" in result.output


def test_nothing_new_is_no_error(arrived: SmallStore) -> None:
    result = run(arrived, "--since", "2199-01-01")
    assert result.exit_code == 0
    assert "nothing has arrived" in result.output


def test_without_a_reference_there_is_nothing_to_compare_with(arrived: SmallStore) -> None:
    with pytest.raises(NothingIndexed, match="no case was indexed before 2019"):
        run(arrived, "--since", "2019-01-01")
