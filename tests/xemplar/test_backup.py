"""A backup: what was acknowledged before is in it, and the same film gets the same answer."""

import hmac
import io
import sqlite3
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import text
from xemplar_indexer.backup import backup as backup_command
from xemplar_indexer.backup import restore as restore_command

from tests.films import drawn_film, encoded
from tests.stores import CASES, SmallStore, small_store
from xemplar.backup import CONTENTS, _move, back_up, restore
from xemplar.catalog import Description, case_id_of, open_catalog
from xemplar.catalog.copying import copy_catalog
from xemplar.checkpoint import keep, load
from xemplar.encoder import Precision, open_encoder
from xemplar.errors import (
    ConfigurationError,
    CorruptArtefact,
    Mismatch,
    NothingIndexed,
    XemplarError,
)
from xemplar.index import current
from xemplar.intake import let_go, take_in
from xemplar.media import Media
from xemplar.radiograph import decode
from xemplar.retriever import Retriever
from xemplar.selection import Search
from xemplar.store import Store

TraceFunction = Callable[[FrameType, str, Any], Any]

OPENER = partial(open_encoder, precision=Precision.FLOAT32)
NEW = encoded(drawn_film(100))


@pytest.fixture
def old(tmp_path: Path, tiny_checkpoint: Path) -> SmallStore:
    """A store that keeps its checkpoint, as one of a service does."""
    made = small_store(tmp_path, tiny_checkpoint)
    return replace(made, checkpoint=keep(made.checkpoint, made.store))


def url(store: Store) -> str:
    return store.database_url


def media(store: Store) -> Media:
    return Media(store.media)


def case_id(film: bytes) -> str:
    return case_id_of(sha256(film).hexdigest())


def put(made: SmallStore, film: bytes, database: str = "") -> str:
    """Take a film in, as the service does; returns its case id."""
    encoder, source = OPENER(load(made.checkpoint)), Description(source="ward-3")
    with open_catalog(database or url(made.store)) as catalog:
        return take_in(decode(film), source, encoder, catalog, media(made.store)).case_id


def saved(store: Store, database: str, during: Callable[[], None] = lambda: None) -> bytes:
    """A backup; something happens after the catalog was copied."""
    out, happened = io.BytesIO(), False

    def moved(_done: int, _total: int) -> None:
        nonlocal happened
        if not happened:
            happened = True
            during()

    back_up(store, database, out, moved)
    return out.getvalue()


def listed(store: Store, database: str, film: bytes) -> list[tuple[str, float]]:
    """What a retriever on the store finds for a film."""
    checkpoint = next((store.root / "checkpoints").iterdir())
    with closing(Retriever.open(checkpoint, store, database, opener=OPENER)) as retriever:
        answer = retriever.ask(film, Search(k=20))
        for near in answer.neighbours:
            assert retriever.media.display_bytes(near.case.image_sha256)
        return [(near.case.case_id, near.similarity) for near in answer.neighbours]


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, str]:
    """An empty store and an empty database of each kind."""
    store = Store(tmp_path / "elsewhere")
    if request.param == "sqlite":
        return store, store.database_url
    return store, request.getfixturevalue("postgres").create(f"test_{tmp_path.name[:20]}")


def test_a_restored_backup_answers_the_same(old: SmallStore, elsewhere: tuple[Store, str]) -> None:
    put(old, NEW)
    copy = saved(old.store, url(old.store))
    restore(io.BytesIO(copy), *elsewhere)
    for film in (old.films[3], NEW):
        assert listed(*elsewhere, film) == listed(old.store, url(old.store), film)
    # the pseudonym of a patient is the same one
    assert elsewhere[0].pseudonym("a", "b") == old.store.pseudonym("a", "b")


@pytest.mark.parametrize("had", [True, False])
def test_that_there_were_keys_is_restored(old: SmallStore, tmp_path: Path, had: bool) -> None:
    """Also where the catalog has lost them: a service on it stays closed."""
    if had:
        old.store.remember_keys()
    target = Store(tmp_path / "elsewhere")
    restore(io.BytesIO(saved(old.store, url(old.store))), target, url(target))
    assert target.had_keys.exists() == had


def test_a_database_of_one_kind_goes_into_one_of_the_other(
    old: SmallStore, elsewhere: tuple[Store, str], tmp_path: Path
) -> None:
    restore(io.BytesIO(saved(old.store, url(old.store))), *elsewhere)
    back = Store(tmp_path / "back")
    restore(io.BytesIO(saved(*elsewhere)), back, url(back))
    assert listed(back, url(back), NEW) == listed(old.store, url(old.store), NEW)


def test_no_number_of_a_removed_case_comes_again(
    old: SmallStore, elsewhere: tuple[Store, str]
) -> None:
    with open_catalog(url(old.store)) as catalog:
        last = catalog.case(put(old, NEW)).id
        let_go(catalog.case(put(old, NEW)).case_id, catalog, media(old.store))
    restore(io.BytesIO(saved(old.store, url(old.store))), *elsewhere)
    restored = replace(old, store=elsewhere[0])
    with open_catalog(elsewhere[1]) as catalog:
        assert catalog.case(put(restored, NEW, elsewhere[1])).id > last


def by_the_release_before(copy: bytes, store: Store) -> bytes:
    """A backup whose catalog has the schema, and the pseudonyms, of the release before.

    In it the first case is of patient 1 of "clinic:a".
    """
    joined = hmac.new(store.pseudonym_key.read_bytes(), b"clinic:a:1", sha256).hexdigest()[:16]
    out = io.BytesIO()
    with (
        TemporaryDirectory() as folder,
        tarfile.open(fileobj=io.BytesIO(copy)) as newer,
        tarfile.open(fileobj=out, mode="w") as older,
    ):
        newer.extractall(folder, filter="data")
        with closing(sqlite3.connect(Path(folder) / "catalog.sqlite")) as catalog, catalog:
            catalog.execute("UPDATE alembic_version SET version_num = '0002'")
            catalog.execute(
                "UPDATE cases SET source = 'clinic:a', patient = ? WHERE id = 1", [joined]
            )
        for name in newer.getnames():
            older.add(Path(folder) / name, name)
    return out.getvalue()


def test_a_backup_of_the_release_before_knows_its_patients_again(
    old: SmallStore, elsewhere: tuple[Store, str]
) -> None:
    copy = by_the_release_before(saved(old.store, url(old.store)), old.store)
    restore(io.BytesIO(copy), *elsewhere)
    with open_catalog(elsewhere[1]) as catalog:
        assert catalog.cases([1])[1].patient == elsewhere[0].pseudonym("clinic:a", "1")


def test_what_comes_and_goes_meanwhile_leaves_it_whole(
    old: SmallStore, elsewhere: tuple[Store, str]
) -> None:
    def change() -> None:
        put(old, NEW)
        with open_catalog(url(old.store)) as catalog:
            for film in old.films[4:6]:
                let_go(case_id(film), catalog, media(old.store))

    copy = saved(old.store, url(old.store), during=change)
    restore(io.BytesIO(copy), *elsewhere)
    found = dict(listed(*elsewhere, NEW))  # each of these has its pictures
    assert found.keys() == {case_id(film) for film in (*old.films[:4], *old.films[6:])}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_backup_that_was_cut_off_is_refused_and_answers_nothing(
    old: SmallStore, tmp_path: Path, share: float
) -> None:
    copy, target = saved(old.store, url(old.store)), Store(tmp_path / "elsewhere")
    copy = copy[: copy.index(CONTENTS.encode())]
    with pytest.raises(CorruptArtefact, match="backup"):
        restore(io.BytesIO(copy[: int(share * len(copy))]), target, url(target))
    with pytest.raises(NothingIndexed):
        current(target)


def test_a_file_that_would_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    out, target = io.BytesIO(), Store(tmp_path / "elsewhere")
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("media/../../outside"))
    with pytest.raises(CorruptArtefact, match="outside"):
        restore(io.BytesIO(out.getvalue()), target, url(target))
    assert not (tmp_path / "outside").exists()


def test_nothing_is_restored_over_something(old: SmallStore, tmp_path: Path) -> None:
    copy, target = saved(old.store, url(old.store)), Store(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="empty folder"):
        restore(io.BytesIO(copy), old.store, url(old.store))
    with pytest.raises(ConfigurationError, match="empty database"):
        restore(io.BytesIO(copy), target, url(old.store))


def test_no_backup_is_written_of_what_could_not_answer(old: SmallStore, tmp_path: Path) -> None:
    written = tmp_path / "monday.tar"
    digest = load(old.checkpoint).digest

    def refused(error: type[XemplarError], match: str) -> None:
        with pytest.raises(error, match=match):
            backup_command(written, store=old.store.root)
        assert not written.exists()

    kept = old.store.checkpoint(digest)
    whole = kept.read_bytes()
    for content in (None, whole[:1000], whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.unlink() if content is None else kept.write_bytes(content)
        refused(ConfigurationError, f"no checkpoint {digest[:12]}")
    kept.write_bytes(whole)
    with open_catalog(url(old.store)) as catalog, catalog.engine.begin() as connection:
        connection.execute(text("DELETE FROM cases WHERE id = 3"))  # and no removal is remembered
    refused(Mismatch, "lacks 1 of the 12 cases")
    ids = old.store.generations / current(old.store) / "ids.npy"
    ids.write_bytes(b"damaged")
    refused(CorruptArtefact, "ids.npy")


def test_a_checkpoint_that_the_store_does_not_keep_is_put_in_if_it_is_named(
    old: SmallStore, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "network"
    old.store.checkpoint(load(old.checkpoint).digest).rename(elsewhere)
    target = Store(tmp_path / "elsewhere")
    out = io.BytesIO()
    back_up(old.store, url(old.store), out, otherwise=elsewhere)
    restore(io.BytesIO(out.getvalue()), target, url(target))
    assert listed(target, url(target), old.films[0])


class Cut(BaseException):
    """As a kill: nobody catches it."""


def cut_restore(copy: bytes, target: Store, database: str, line: int) -> bool:
    """Restore, and be cut before the given line of the restore's own code; False where none was."""
    passed = 0

    def step(frame: FrameType, event: str, _: object) -> TraceFunction | None:
        nonlocal passed
        ours = (restore.__code__, _move.__code__, copy_catalog.__code__)
        if frame.f_code not in ours:
            return None
        passed += event == "line"
        if passed > line:
            sys.settrace(None)
            raise Cut
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        restore(io.BytesIO(copy), target, database)
    except Cut:
        return True
    finally:
        sys.settrace(before)
    return False


def test_a_restore_that_is_cut_anywhere_answers_nothing_and_is_done_again(
    old: SmallStore, elsewhere: tuple[Store, str]
) -> None:
    copy, line = saved(old.store, url(old.store)), 0
    while cut_restore(copy, *elsewhere, line):
        line += 1
        if (elsewhere[0].current).exists():
            break  # the last step was done: it is a whole store
        with pytest.raises(NothingIndexed):
            current(elsewhere[0])
    assert line > 20
    assert listed(*elsewhere, NEW) == listed(old.store, url(old.store), NEW)
    hidden = [path.name for path in elsewhere[0].root.glob(".*")]
    assert hidden == []


def test_nothing_of_a_cut_restore_is_taken_for_a_store(old: SmallStore, tmp_path: Path) -> None:
    target = Store(tmp_path / "elsewhere")
    restore(io.BytesIO(saved(old.store, url(old.store))), target, url(target))
    target.current.rename(target.restoring)
    with pytest.raises(NothingIndexed, match="cut off; run `xemplar restore` again"):
        current(target)


@pytest.mark.parametrize(
    "name", ["media", "media/a/../../x", "/etc/x", "elsewhere/x", "pseudonym.key/x", "media/x\0y"]
)
def test_an_archive_with_names_that_no_backup_has_is_refused(
    old: SmallStore, tmp_path: Path, name: str
) -> None:
    out, target = io.BytesIO(saved(old.store, url(old.store))), Store(tmp_path / "elsewhere")
    with tarfile.open(fileobj=out, mode="a") as archive:
        archive.addfile(tarfile.TarInfo("pseudonym.key"))
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(CorruptArtefact):
        restore(io.BytesIO(out.getvalue()), target, url(target))
    assert [*target.root.iterdir()] == []


def test_it_leaves_nothing_in_the_store(old: SmallStore) -> None:
    before = sorted(old.store.root.rglob("*"))
    saved(old.store, url(old.store))
    assert sorted(old.store.root.rglob("*")) == before


def test_the_commands_say_what_they_did(
    old: SmallStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, target = tmp_path / "monday.tar", Store(tmp_path / "elsewhere")
    backup_command(file, store=old.store.root)
    restore_command(file, store=target.root)
    said = capsys.readouterr().err
    assert f"backed up: {CASES} cases, {2 * CASES} pictures" in said
    assert f"restored: {CASES} cases, {2 * CASES} pictures" in said
