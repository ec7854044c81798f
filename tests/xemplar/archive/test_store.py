"""Secrets of a store: pseudonyms, stable and with one key under concurrency; sealed content."""

import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xemplar.archive.store import Store
from xemplar.errors import CorruptArtefact, Mismatch


def test_opening_a_store_creates_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.database_url.endswith("store/catalog.sqlite")
    assert not store.root.exists()


def test_pseudonyms_are_stable_and_differ_by_source_patient_and_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "a")
    one = store.pseudonym("nih", "17")
    assert one == Store(tmp_path / "a").pseudonym("nih", "17")
    assert len(one) == 16
    others = {
        store.pseudonym("nih", "18"),
        store.pseudonym("kermany", "17"),
        Store(tmp_path / "b").pseudonym("nih", "17"),
    }
    assert one not in others
    assert len(others) == 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@given(
    one=st.tuples(st.text("a:1", min_size=1), st.text("a:1", min_size=1)),
    other=st.tuples(st.text("a:1", min_size=1), st.text("a:1", min_size=1)),
)
@example(one=("clinic", "a:1"), other=("clinic:a", "1"))
@example(one=("a:", "b"), other=("a", ":b"))
def test_two_patients_never_share_a_pseudonym(
    store: Store, one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (store.pseudonym(*one) == store.pseudonym(*other)) is (one == other)


def test_a_patient_of_an_ordinary_source_keeps_the_pseudonym_of_older_releases(
    store: Store,
) -> None:
    joined = hmac.new(store.pseudonym_key.read_bytes(), b"nih:17", "sha256").hexdigest()
    assert store.pseudonym("nih", "17") == joined[:16]


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.pseudonym("nih", "17")
    assert stat.S_IMODE(store.pseudonym_key.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["pseudonym.key"]


def test_concurrent_processes_share_the_first_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        pseudonyms = set(pool.map(lambda _: Store(tmp_path).pseudonym("nih", "1"), range(32)))
    assert len(pseudonyms) == 1


def test_a_damaged_key_is_rejected_and_not_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.pseudonym_key.write_bytes(b"short")
    with pytest.raises(CorruptArtefact, match="restore it from a backup"):
        store.pseudonym("nih", "17")
    assert store.pseudonym_key.read_bytes() == b"short"


def test_what_is_sealed_is_opened_with_the_same_key_and_name_alone(tmp_path: Path) -> None:
    store, content = Store(tmp_path / "a"), b"what a query showed" * 100
    sealed = store.seal(content, "one")
    assert Store(tmp_path / "a").unseal(sealed, "one") == content
    assert b"query" not in sealed
    assert store.seal(content, "one") != sealed
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for opener, what, name in (
        (Store(tmp_path / "b"), sealed, "one"),
        (store, sealed, "two"),
        (store, changed, "one"),
        (store, b"", "one"),
    ):
        with pytest.raises(Mismatch, match=r"pseudonym\.key"):
            opener.unseal(what, name)
