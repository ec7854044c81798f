"""A backup: what was acknowledged before is in it, and the same image gets the same answer."""

import hmac
import io
import json
import os
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
from alembic import command
from hypothesis import settings
from sqlalchemy import text
from typer import BadParameter
from typer.testing import CliRunner
from xemplar_indexer.backup import _move, back_up, restore
from xemplar_indexer.backup_archive import CONTENTS, KEY
from xemplar_indexer.cli_store import backup as backup_command
from xemplar_indexer.cli_store import restore as restore_command

from tests.hostile_archives import MEMBERS, PICTURE, archive_of
from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore, small_store
from xemplar.__main__ import command_line
from xemplar.api import Search
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Description, case_id_of, open_catalog
from xemplar.catalog.copying import copy_catalog
from xemplar.catalog.schema import _config, connect
from xemplar.errors import (
    ConfigurationError,
    CorruptArtefact,
    Mismatch,
    NothingIndexed,
    ReadOnlyStorage,
    StorageFull,
    XemplarError,
)
from xemplar.imaging import decode
from xemplar.index import current
from xemplar.model.checkpoint import keep, load
from xemplar.model.encoder import Precision, open_encoder
from xemplar.operations.audit import Audit
from xemplar.retrieval.ingest import add_case, delete_case
from xemplar.retrieval.retriever import Retriever

TraceFunction = Callable[[FrameType, str, Any], Any]

OPENER = partial(open_encoder, precision=Precision.FLOAT32)
NEW = encoded(drawn_image(100))


@pytest.fixture
def old(tmp_path: Path, tiny_checkpoint: Path) -> SmallStore:
    """A store that keeps its checkpoint, as one of a service does."""
    made = small_store(tmp_path, tiny_checkpoint)
    return replace(made, checkpoint=keep(made.checkpoint, made.store))


@pytest.fixture
def key(old: SmallStore) -> bytes:
    """Of the store's pseudonyms: whoever restores has it from elsewhere."""
    return old.store.pseudonym_key.read_bytes()


def url(store: Store) -> str:
    return store.database_url


def media(store: Store) -> Media:
    return Media(store.media)


def case_id(image: bytes) -> str:
    return case_id_of(sha256(image).hexdigest())


def put(made: SmallStore, image: bytes, database: str = "") -> str:
    """Take an image in, as the service does; returns its case id."""
    encoder, source = OPENER(load(made.checkpoint)), Description(source="ward-3")
    with open_catalog(database or url(made.store)) as catalog:
        return add_case(decode(image), source, encoder, catalog, media(made.store)).case_id


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


def listed(store: Store, database: str, image: bytes) -> list[tuple[str, float]]:
    """What a retriever on the store finds for an image."""
    checkpoint = next((store.root / "checkpoints").iterdir())
    with closing(Retriever.open(checkpoint, store, database, opener=OPENER)) as retriever:
        answer = retriever.ask(image, Search(k=20))
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


def test_a_restored_backup_answers_the_same(
    old: SmallStore, elsewhere: tuple[Store, str], key: bytes
) -> None:
    put(old, NEW)
    copy = saved(old.store, url(old.store))
    restore(io.BytesIO(copy), *elsewhere, key=key)
    for image in (old.images[3], NEW):
        assert listed(*elsewhere, image) == listed(old.store, url(old.store), image)
    # the pseudonym of a patient is the same one
    assert elsewhere[0].pseudonym("a", "b") == old.store.pseudonym("a", "b")


@pytest.mark.parametrize("had", [True, False])
def test_that_there_were_keys_is_restored(
    old: SmallStore, tmp_path: Path, had: bool, key: bytes
) -> None:
    """Also where the catalog has lost them: a service on it stays closed."""
    if had:
        old.store.remember_keys()
    target = Store(tmp_path / "elsewhere")
    restore(io.BytesIO(saved(old.store, url(old.store))), target, url(target), key=key)
    assert target.had_keys.exists() == had


def test_a_database_of_one_kind_goes_into_one_of_the_other(
    old: SmallStore, elsewhere: tuple[Store, str], tmp_path: Path, key: bytes
) -> None:
    restore(io.BytesIO(saved(old.store, url(old.store))), *elsewhere, key=key)
    back = Store(tmp_path / "back")
    restore(io.BytesIO(saved(*elsewhere)), back, url(back), key=key)
    assert listed(back, url(back), NEW) == listed(old.store, url(old.store), NEW)


def test_no_number_of_a_removed_case_comes_again(
    old: SmallStore, elsewhere: tuple[Store, str], key: bytes
) -> None:
    with open_catalog(url(old.store)) as catalog:
        last = catalog.case(put(old, NEW)).id
        delete_case(catalog.case(put(old, NEW)).case_id, catalog, media(old.store))
    restore(io.BytesIO(saved(old.store, url(old.store))), *elsewhere, key=key)
    restored = replace(old, store=elsewhere[0])
    with open_catalog(elsewhere[1]) as catalog:
        assert catalog.case(put(restored, NEW, elsewhere[1])).id > last


OF_FORM_1 = ("created", "generation", "cases", "pictures")


def by_the_release_before(copy: bytes, store: Store) -> bytes:
    """A backup whose catalog has the schema, and the pseudonyms, of the release before.

    It holds the key, and no digest.
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
        engine = connect(f"sqlite:///{Path(folder) / 'catalog.sqlite'}")
        with engine.connect().execution_options(write=True) as connection, connection.begin():
            config = _config()
            config.attributes["connection"] = connection
            command.downgrade(config, "0002")
        engine.dispose()
        with closing(sqlite3.connect(Path(folder) / "catalog.sqlite")) as catalog, catalog:
            catalog.execute(
                "UPDATE cases SET source = 'clinic:a', patient = ? WHERE id = 1", [joined]
            )
        contents = Path(folder) / CONTENTS
        said = {k: v for k, v in json.loads(contents.read_text()).items() if k in OF_FORM_1}
        contents.write_text(json.dumps(said | {"form": 1}))
        older.add(store.pseudonym_key, KEY)
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
    old: SmallStore, elsewhere: tuple[Store, str], key: bytes
) -> None:
    def change() -> None:
        put(old, NEW)
        with open_catalog(url(old.store)) as catalog:
            for image in old.images[4:6]:
                delete_case(case_id(image), catalog, media(old.store))

    copy = saved(old.store, url(old.store), during=change)
    restore(io.BytesIO(copy), *elsewhere, key=key)
    found = dict(listed(*elsewhere, NEW))  # each of these has its pictures
    assert found.keys() == {case_id(image) for image in (*old.images[:4], *old.images[6:])}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_backup_that_was_cut_off_is_refused_and_answers_nothing(
    old: SmallStore, tmp_path: Path, share: float, key: bytes
) -> None:
    copy, target = saved(old.store, url(old.store)), Store(tmp_path / "elsewhere")
    copy = copy[: copy.index(CONTENTS.encode())]
    with pytest.raises(CorruptArtefact, match="backup"):
        restore(io.BytesIO(copy[: int(share * len(copy))]), target, url(target), key=key)
    with pytest.raises(NothingIndexed):
        current(target)


def test_a_file_that_would_lie_elsewhere_is_refused(tmp_path: Path, key: bytes) -> None:
    out, target = io.BytesIO(), Store(tmp_path / "elsewhere")
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("media/../../outside"))
    with pytest.raises(CorruptArtefact, match="outside"):
        restore(io.BytesIO(out.getvalue()), target, url(target), key=key)
    assert not (tmp_path / "outside").exists()


def test_nothing_is_restored_over_something(old: SmallStore, tmp_path: Path, key: bytes) -> None:
    copy, target = saved(old.store, url(old.store)), Store(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="empty folder"):
        restore(io.BytesIO(copy), old.store, url(old.store), key=key)
    with pytest.raises(ConfigurationError, match="empty database"):
        restore(io.BytesIO(copy), target, url(old.store), key=key)


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
    old: SmallStore, tmp_path: Path, key: bytes
) -> None:
    elsewhere = tmp_path / "network"
    old.store.checkpoint(load(old.checkpoint).digest).rename(elsewhere)
    target = Store(tmp_path / "elsewhere")
    out = io.BytesIO()
    back_up(old.store, url(old.store), out, otherwise=elsewhere)
    restore(io.BytesIO(out.getvalue()), target, url(target), key=key)
    assert listed(target, url(target), old.images[0])


EVERY = 1 if settings.get_current_profile_name() == "explore" else 7
"""Lines between two cuts; with 1 it takes minutes."""


class Cut(BaseException):
    """As a kill: nobody catches it."""


def cut_restore(copy: bytes, target: Store, database: str, key: bytes, line: int) -> bool:
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
        restore(io.BytesIO(copy), target, database, key=key)
    except Cut:
        return True
    finally:
        sys.settrace(before)
    return False


def test_a_restore_that_is_cut_anywhere_answers_nothing_and_is_done_again(
    old: SmallStore, elsewhere: tuple[Store, str], key: bytes
) -> None:
    copy, line = saved(old.store, url(old.store)), 0
    while cut_restore(copy, *elsewhere, key, line):
        line += EVERY
        if (elsewhere[0].current).exists():
            break  # the last step was done: it is a whole store
        with pytest.raises(NothingIndexed):
            current(elsewhere[0])
    assert line > 20
    assert listed(*elsewhere, NEW) == listed(old.store, url(old.store), NEW)
    hidden = [path.name for path in elsewhere[0].root.glob(".*")]
    assert hidden == []


def test_nothing_of_a_cut_restore_is_taken_for_a_store(
    old: SmallStore, tmp_path: Path, key: bytes
) -> None:
    target = Store(tmp_path / "elsewhere")
    restore(io.BytesIO(saved(old.store, url(old.store))), target, url(target), key=key)
    target.current.rename(target.restoring)
    with pytest.raises(NothingIndexed, match="interrupted; run `xemplar restore` again"):
        current(target)


@pytest.mark.parametrize(
    "name",
    [
        "media",
        "media/a/../../x",
        "/etc/x",
        "elsewhere/x",
        "pseudonym.key/x",
        "media/x\0y",
        "generations/../x.json",
        "media/ab/cd.jpg",
        f"media/00/ab{'0' * 62}.jpg",
        "catalog.sqlite-wal",
    ],
)
def test_an_archive_with_names_that_no_backup_has_is_refused(
    old: SmallStore, tmp_path: Path, name: str, key: bytes
) -> None:
    out, target = io.BytesIO(saved(old.store, url(old.store))), Store(tmp_path / "elsewhere")
    with tarfile.open(fileobj=out, mode="a") as archive:
        archive.addfile(tarfile.TarInfo("pseudonym.key"))
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(CorruptArtefact):
        restore(io.BytesIO(out.getvalue()), target, url(target), key=key)
    assert [*target.root.iterdir()] == []


def test_the_key_is_not_in_the_backup(old: SmallStore, key: bytes) -> None:
    copy = saved(old.store, url(old.store))
    assert key not in copy
    with tarfile.open(fileobj=io.BytesIO(copy)) as archive:
        assert KEY not in archive.getnames()
        assert {member.mode for member in archive} == {0o600}


def test_without_its_key_a_backup_is_restored_only_where_that_is_wanted(
    old: SmallStore, tmp_path: Path
) -> None:
    copy, target = saved(old.store, url(old.store)), Store(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="--without-key"):
        restore(io.BytesIO(copy), target, url(target))
    restore(io.BytesIO(copy), target, url(target), without_key=True)
    assert listed(target, url(target), NEW) == listed(old.store, url(old.store), NEW)
    # what is said of it: a patient counts as another one from now on
    assert target.pseudonym("a", "b") != old.store.pseudonym("a", "b")


@pytest.mark.parametrize("wrong", [bytes(32), b"short", bytes(33)])
def test_another_key_than_the_backups_is_refused(
    old: SmallStore, tmp_path: Path, wrong: bytes
) -> None:
    copy, target = saved(old.store, url(old.store)), Store(tmp_path / "elsewhere")
    with pytest.raises(Mismatch, match="not written with this key"):
        restore(io.BytesIO(copy), target, url(target), key=wrong)
    assert [*target.root.iterdir()] == []


def changed(copy: bytes, change: Callable[[tarfile.TarInfo, bytes], bytes]) -> bytes:
    """A backup with other content."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(copy)) as before,
        tarfile.open(fileobj=out, mode="w") as after,
    ):
        for member in before:
            content = change(member, before.extractfile(member).read())  # type: ignore[union-attr]
            member.size = len(content)
            after.addfile(member, io.BytesIO(content))
    return out.getvalue()


def test_a_backup_that_was_changed_is_refused_before_anything_is_in_place(
    old: SmallStore, tmp_path: Path, key: bytes
) -> None:
    copy, target = saved(old.store, url(old.store)), Store(tmp_path / "elsewhere")

    def one_byte(member: tarfile.TarInfo, content: bytes) -> bytes:
        return content[:-1] + b"x" if member.name.endswith(".jpg") else content

    with pytest.raises(CorruptArtefact, match="damaged or changed"):
        restore(io.BytesIO(changed(copy, one_byte)), target, url(target), key=key)

    def what_it_says(member: tarfile.TarInfo, content: bytes) -> bytes:
        said = json.loads(content) | {"cases": 1} if member.name == CONTENTS else None
        return json.dumps(said).encode() if said else content

    with pytest.raises(Mismatch, match="changed since"):
        restore(io.BytesIO(changed(copy, what_it_says)), target, url(target), key=key)
    assert [*target.root.iterdir()] == []


def test_a_key_is_not_taken_for_a_backup_that_it_says_nothing_of(
    old: SmallStore, tmp_path: Path, key: bytes
) -> None:
    target = Store(tmp_path / "elsewhere")
    older = by_the_release_before(saved(old.store, url(old.store)), old.store)
    with pytest.raises(Mismatch, match="leave --key out"):
        restore(io.BytesIO(older), target, url(target), key=key)


def test_what_is_restored_is_for_its_user_alone(
    old: SmallStore, tmp_path: Path, key: bytes
) -> None:
    copy, target = saved(old.store, url(old.store)), Store(tmp_path / "elsewhere")

    def opened(member: tarfile.TarInfo, content: bytes) -> bytes:
        member.mode = 0o6777
        return content

    before = os.umask(0)
    try:
        restore(io.BytesIO(changed(copy, opened)), target, url(target), key=key)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o7777 for path in (target.root, *target.root.rglob("*"))}
    assert modes == {0o700, 0o600}


@pytest.mark.parametrize("make", MEMBERS.values(), ids=MEMBERS)
def test_only_plain_files_are_unpacked(tmp_path: Path, make: Callable[[], tarfile.TarInfo]) -> None:
    target = Store(tmp_path / "elsewhere")
    with pytest.raises(CorruptArtefact, match="this is not a backup"):
        restore(io.BytesIO(archive_of(make())), target, url(target))
    assert [*target.root.iterdir()] == []


def test_a_file_that_the_disk_does_not_take_is_refused_by_its_size(tmp_path: Path) -> None:
    member, target = tarfile.TarInfo(PICTURE), Store(tmp_path / "elsewhere")
    member.size = 1 << 60
    with pytest.raises(StorageFull, match="no room is left to restore"):
        restore(io.BytesIO(member.tobuf() + bytes(10_240)), target, url(target))


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
    assert "monday.tar.key: keep a copy of it, separate from the backup" in said
    assert f"restored: {CASES} cases, {2 * CASES} pictures" in said


def test_backup_and_restore_are_audited(
    old: SmallStore, elsewhere: tuple[Store, str], key: bytes
) -> None:
    def trail(database: str) -> list[tuple[str, str | None]]:
        with open_catalog(database) as catalog:
            entries = Audit(catalog.engine).entries()
        assert {(e.key, e.request_id) for e in entries} == {(None, "")}
        assert {str(e.details) for e in entries} == {str({"uid": os.getuid()})}
        return [(one.action, one.generation) for one in entries]

    restore(io.BytesIO(saved(old.store, url(old.store))), *elsewhere, key=key)
    live = current(old.store)
    assert trail(url(old.store)) == [("backup", live)]
    assert trail(elsewhere[1]) == [("restore", live)]


def test_a_backup_that_cannot_be_audited_is_written_and_says_so(
    old: SmallStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ReadOnlyStorage("the disk can only be read")

    monkeypatch.setattr(Audit, "add", refuse)
    assert saved(old.store, url(old.store))
    assert "the backup is not audited" in caplog.text


def test_the_key_goes_into_a_file_of_its_own(old: SmallStore, tmp_path: Path, key: bytes) -> None:
    apart = tmp_path / "safe" / "archive.key"
    for day in ("monday", "tuesday"):  # it is the same each time
        backup_command(tmp_path / f"{day}.tar", store=old.store.root, key=apart)
    assert apart.read_bytes() == key
    assert apart.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "monday.tar.key").exists()
    target = Store(tmp_path / "elsewhere")
    restore_command(tmp_path / "monday.tar", store=target.root, key=apart)
    assert target.pseudonym_key.read_bytes() == key


def test_no_other_key_is_written_over(old: SmallStore, tmp_path: Path) -> None:
    (tmp_path / "other.key").write_bytes(bytes(32))
    with pytest.raises(BadParameter, match="not this store's key"):
        backup_command(tmp_path / "x.tar", store=old.store.root, key=tmp_path / "other.key")
    assert not (tmp_path / "x.tar").exists()
    assert (tmp_path / "other.key").read_bytes() == bytes(32)


def test_a_restore_without_the_key_says_what_that_means(
    old: SmallStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup_command(tmp_path / "monday.tar", store=old.store.root)
    restore_command(tmp_path / "monday.tar", store=tmp_path / "elsewhere", without_key=True)
    assert (
        "later images of patients in the backup are assigned to new patients"
        in capsys.readouterr().err
    )
    assert not Store(tmp_path / "elsewhere").pseudonym_key.exists()


def test_key_and_backup_may_come_one_after_the_other_through_the_input(
    old: SmallStore, tmp_path: Path, key: bytes
) -> None:
    both = key + saved(old.store, url(old.store))
    given = ["restore", "-", "--key", "-", "--store", str(tmp_path / "elsewhere")]
    result = CliRunner().invoke(command_line(), given, input=both)
    assert result.exit_code == 0, result.output
    assert Store(tmp_path / "elsewhere").pseudonym_key.read_bytes() == key
