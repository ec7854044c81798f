"""What was fetched is known, on both databases."""

from xemplar.catalog import open_catalog
from xemplar.operations.fetched import Fetched


def test_what_was_added_is_known(migrated: str) -> None:
    with open_catalog(migrated) as catalog:
        fetched = Fetched(catalog.engine)
        fetched.add(["a" * 32, "b" * 32])
        fetched.add(["b" * 32, "c" * 32])
        assert fetched.known(["a" * 32, "c" * 32, "d" * 32]) == {"a" * 32, "c" * 32}
        assert fetched.known([]) == frozenset()
