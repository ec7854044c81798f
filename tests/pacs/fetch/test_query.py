"""Choice of the images that are fetched."""

import pytest
from xemplar_pacs.fetch.query import FetchQuery, fetch_query

from xemplar.errors import InvalidArgument


def test_codes_are_written_as_dicom_has_them() -> None:
    query = fetch_query(["dx", " CR", "DX"], "chest", "20200101-20201231")
    assert query == FetchQuery(("DX", "CR"), "CHEST", "20200101-20201231")


@pytest.mark.parametrize("dates", ["20200101", "20200101-", "-20201231", ""])
def test_ranges_may_be_open(dates: str) -> None:
    assert fetch_query(["DX"], dates=dates).dates == dates


@pytest.mark.parametrize(
    "dates", ["2020-01-01", "20201301", "20200101-20190101", "-", "last year", "20200101-2020"]
)
def test_other_dates_are_refused(dates: str) -> None:
    with pytest.raises(InvalidArgument, match="--dates"):
        fetch_query(["DX"], dates=dates)


@pytest.mark.parametrize("code", ["", "D*", "X" * 17, "DX\\CR", "Röntgen"])
def test_no_wildcards_and_lists(code: str) -> None:
    with pytest.raises(InvalidArgument, match="coded value"):
        fetch_query([code])
    if code:
        with pytest.raises(InvalidArgument, match="coded value"):
            fetch_query(["DX"], code)
