"""File system errors become domain errors that name cause and path."""

import errno
from pathlib import Path

import faiss
import numpy as np
import pytest

from tests.system.disk import NoDisk, small_disk
from xemplar.archive.artefact import new_file, write_file
from xemplar.archive.storage_errors import check_room, storage_error, writing_files
from xemplar.errors import ReadOnlyStorage, StorageError, StorageFailed, StorageFull


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, ReadOnlyStorage),
        (errno.EACCES, ReadOnlyStorage),
        (errno.EIO, StorageFailed),
    ],
)
def test_each_error_number_is_translated_with_its_path(
    number: int, kind: type[StorageError]
) -> None:
    error = storage_error(OSError(number, "text of its own", "/archive/x"))
    assert type(error) is kind
    assert "/archive/x" in str(error)
    assert "/archive" not in kind.reason


def test_other_errors_pass_unchanged() -> None:
    assert storage_error(FileNotFoundError(errno.ENOENT, "x", "y")) is None
    with pytest.raises(FileNotFoundError), writing_files(Path("/archive")):
        raise FileNotFoundError(errno.ENOENT, "x", "y")


def test_every_writer_reports_a_full_disk_and_leaves_nothing_behind() -> None:
    """Also by NumPy, whose own error has no number, and by FAISS, whose error is none of Python."""
    index = faiss.index_factory(64, "Flat", faiss.METRIC_INNER_PRODUCT)
    index.add(np.ones((10_000, 64), np.float32))
    try:
        with small_disk(1) as disk:
            check_room(disk.root.parent)
            disk.fill()
            with pytest.raises(StorageFull):
                check_room(disk.root)
            with pytest.raises(StorageFull):
                write_file(disk.root / "x", bytes(1 << 20))
            with pytest.raises(StorageFull), new_file(disk.root / "y") as file:
                faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))
            with (
                pytest.raises(StorageFull),
                writing_files(disk.root),
                (disk.root / "filler").open("w+b") as file,
            ):
                np.save(file, np.zeros(1 << 20))
            assert [path.name for path in disk.root.iterdir()] == ["filler"]
    except NoDisk as reason:
        pytest.skip(str(reason))
