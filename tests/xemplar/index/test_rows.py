"""Files of rows: NumPy's own format, written in batches and mapped into memory."""

from pathlib import Path

import numpy as np
import pytest

from xemplar.errors import CorruptArtefact
from xemplar.index.rows import MappedFolder, RowWriter

NAME = "rows.npy"


def written(path: Path, batches: list[np.ndarray], dtype: str) -> None:
    with RowWriter(path, dtype) as file:
        for batch in batches:
            file.append(batch)


def mapped(folder: Path) -> MappedFolder:
    return MappedFolder(folder, {NAME: (folder / NAME).stat().st_size})


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)])
@pytest.mark.parametrize("dtype", ["<f4", "<f2", "<i8"])
def test_batches_are_one_array(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    whole = np.random.default_rng(0).integers(0, 99, (12, *shape))
    written(tmp_path / NAME, [whole[:5], whole[5:5], whole[5:]], dtype)
    for found in (np.load(tmp_path / NAME), mapped(tmp_path).array(NAME)):
        assert (found.dtype.str, found.shape) == (dtype, whole.shape)
        np.testing.assert_array_equal(found, whole)


def test_mapped_arrays_cannot_be_written_to(tmp_path: Path) -> None:
    written(tmp_path / NAME, [np.arange(3)], "<i8")
    array = mapped(tmp_path).array(NAME)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize(
    "array",
    [np.float32(1), np.asfortranarray(np.ones((2, 3))), np.array([{}], object)],
    ids=["no rows", "by column", "objects"],
)
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / NAME, array)
    with pytest.raises(CorruptArtefact, match=r"rows\.npy is no array.*xemplar reindex"):
        mapped(tmp_path).array(NAME)


def test_a_header_that_promises_more_rows_is_refused(tmp_path: Path) -> None:
    written(tmp_path / NAME, [np.arange(1000)], "<i8")
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[:-8])
    with pytest.raises(CorruptArtefact, match=r"rows\.npy is no array"):
        mapped(tmp_path).array(NAME)


def test_a_mapped_file_that_changes_its_length_is_noticed(tmp_path: Path) -> None:
    written(tmp_path / NAME, [np.arange(1000)], "<i8")
    files = mapped(tmp_path)
    files.check()
    with (tmp_path / NAME).open("r+b") as file:
        file.truncate(100)
    with pytest.raises(CorruptArtefact, match=r"rows\.npy is 100 bytes, its manifest says 8,"):
        files.check()


def test_a_mapped_file_that_is_deleted_can_be_read_on(tmp_path: Path) -> None:
    written(tmp_path / NAME, [np.arange(1000)], "<i8")
    files = mapped(tmp_path)
    (tmp_path / NAME).unlink()
    files.check()
    assert files.array(NAME)[-1] == 999
