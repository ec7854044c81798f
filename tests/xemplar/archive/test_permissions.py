"""Stores are private to their user, regardless of the umask and of earlier permissions."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from xemplar_indexer.cli_store import backup

from tests.images import drawn_image, encoded
from tests.stores import SmallStore, small_store
from xemplar.archive.artefact import new_file, new_folder, scratch_folder, write_file
from xemplar.archive.media import Media
from xemplar.archive.permissions import OTHERS, close_to_others
from xemplar.archive.store import Store
from xemplar.catalog import Description, migrate, open_catalog
from xemplar.cli.terminal import store_folder
from xemplar.imaging import decode
from xemplar.indexing.publishing import build_generation
from xemplar.model.checkpoint import keep, load
from xemplar.model.encoder import Precision, open_encoder
from xemplar.phantom import write_phantoms
from xemplar.retrieval.ingest import add_case


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Without explicit permissions everything would be for everybody."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def opened(root: Path) -> dict[str, str]:
    """What others may use, with its permissions."""
    everything = (root, *root.rglob("*"))
    return {str(path): oct(mode(path)) for path in everything if mode(path) & OTHERS}


def test_a_new_store_is_private(tmp_path: Path, tiny_checkpoint: Path) -> None:
    store, checkpoint = Store(tmp_path / "new" / "store"), load(tiny_checkpoint)
    migrate(store.database_url)
    encoder = open_encoder(checkpoint, precision=Precision.FLOAT32)
    source = Description(source="ward", patient=store.pseudonym("ward", "1"))
    with open_catalog(store.database_url) as catalog:
        for image in (drawn_image(1), drawn_image(2)):
            add_case(decode(encoded(image)), source, encoder, catalog, Media(store.media))
        build_generation(store, catalog, checkpoint)
        keep(tiny_checkpoint, store)
        names = {path.name for path in store.root.iterdir()}
        assert {"catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"} < names
        assert {"pseudonym.key", "media", "generations", "checkpoints"} < names
        assert opened(tmp_path / "new") == {}


def test_files_written_outside_the_store_are_private(tmp_path: Path) -> None:
    write_file(tmp_path / "run" / "report.json", b"{}")
    with new_file(tmp_path / "run" / "backup.tar") as file:
        file.write(b"x")
    with new_folder(tmp_path / "run" / "pictures") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "image.jpg").write_bytes(b"x")
    with scratch_folder(tmp_path / "run") as scratch:
        assert mode(scratch) == 0o700
    assert opened(tmp_path / "run") == {}


def test_phantoms_show_no_patient_and_are_readable(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "phantoms", 1, size=64)
    assert mode(tmp_path / "phantoms" / "labels.csv") & 0o044


def test_a_backup_is_private(tmp_path: Path, tiny_checkpoint: Path) -> None:
    made = small_store(tmp_path, tiny_checkpoint)
    backup(tmp_path / "monday.tar", store=made.store.root, checkpoint=made.checkpoint)
    assert mode(tmp_path / "monday.tar") == 0o600


@pytest.fixture
def older(tmp_path: Path, tiny_checkpoint: Path) -> SmallStore:
    """A store that a version before made: open to all."""
    made = small_store(tmp_path, tiny_checkpoint)
    for path in (made.store.root, *made.store.root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return made


def test_every_command_makes_an_accessible_store_private(older: SmallStore) -> None:
    store_folder(older.store.root)
    assert opened(older.store.root) == {}


def test_a_file_made_accessible_later_is_made_private_again(older: SmallStore) -> None:
    store_folder(older.store.root)
    for name in ("catalog.sqlite", "pseudonym.key"):
        (older.store.root / name).chmod(0o666)
    store_folder(older.store.root)
    assert opened(older.store.root) == {}


def test_files_that_cannot_be_made_private_are_reported_and_still_used(
    older: SmallStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", read_only)
    assert store_folder(older.store.root) == older.store.root
    said = capsys.readouterr().err
    assert "other users can read" in said
    assert f"chmod -R go= {older.store.root}" in said


def test_links_are_not_changed(tmp_path: Path) -> None:
    outside, store = tmp_path / "outside", tmp_path / "store"
    outside.write_bytes(b"x")
    store.mkdir()
    (store / "link").symlink_to(outside)
    assert close_to_others(store) == []
    assert mode(outside) == 0o666


def test_what_was_removed_from_the_catalog_is_overwritten(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    migrate(store.database_url)
    with open_catalog(store.database_url) as catalog, catalog.engine.connect() as connection:
        assert connection.scalar(text("PRAGMA secure_delete")) == 1
