"""Files of a generation with one row for each case: written in batches, read by memory mapping.

A process that reads beyond the end of a mapped file is killed (SIGBUS), and no error can be raised
then. So whoever reads a `MappedFolder` first checks that its files still have their lengths.
"""

import mmap
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from xemplar.errors import CorruptArtefact


class RowWriter:
    """Writes an array to a .npy file, a batch of rows at a time, without holding it in memory.

    Python writes, so that a full disk is an `OSError`; writing to a mapped file would be SIGBUS.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        """Create the file.

        Args:
            path: of the file.
            dtype: of the array.
        """
        self._file = path.open("xb")
        self._dtype = np.dtype(dtype)
        self._shape: tuple[int, ...] = (0,)

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Write rows (n, ...), converted to the file's dtype."""
        count = self._shape[0]
        if not count:
            self._write_header((0, *rows.shape[1:]))
        self._shape = (count + len(rows), *rows.shape[1:])
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write_header(self._shape)

    def _write_header(self, shape: tuple[int, ...]) -> None:
        # NumPy pads the header, so that it is as long whatever the number of rows
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


class MappedFolder:
    """Files of a folder, mapped into memory. Safe to share between threads.

    The pages are those of the disk cache, shared by all processes, so opening takes no memory.
    """

    def __init__(self, folder: Path, sizes: Mapping[str, int]) -> None:
        """Map the files, which must have the given sizes in bytes.

        Raises:
            CorruptArtefact: a file is missing or has another size.
        """
        self._folder = folder
        self._sizes = dict(sizes)
        self._maps: dict[str, mmap.mmap] = {}
        for name, size in self._sizes.items():
            path = folder / name
            found = path.stat().st_size if path.is_file() else None
            if found != size or not size:
                raise self._refusal(name, found)
            with path.open("rb") as file:
                self._maps[name] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return a .npy file as an array that is not read into memory.

        Raises:
            CorruptArtefact: it is no .npy file, or shorter than its header says.
        """
        mapped = self._maps[name]
        try:
            mapped.seek(0)
            version = np.lib.format.read_magic(mapped)
            if version != (1, 0):
                raise ValueError("another version of the format")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(mapped)
            if not shape or fortran or dtype.hasobject:
                raise ValueError("no rows of numbers")
            return np.ndarray(shape, dtype, mapped, mapped.tell())
        except (ValueError, TypeError) as error:
            raise CorruptArtefact(
                f"{self._folder / name} is no array of rows; run `xemplar reindex` to build a new "
                "generation from the catalog"
            ) from error

    def check(self) -> None:
        """Refuse files that were cut since they were mapped; takes microseconds.

        Raises:
            CorruptArtefact: names the file and the remedy.
        """
        for name, mapped in self._maps.items():
            if (found := mapped.size()) != self._sizes[name]:
                raise self._refusal(name, found)

    def _refusal(self, name: str, found: int | None) -> CorruptArtefact:
        is_now = "missing" if found is None else f"{found:,} bytes"
        return CorruptArtefact(
            f"{self._folder / name} is {is_now}, its manifest says {self._sizes[name]:,} bytes; "
            "run `xemplar index` to build a new generation from the catalog, or go back to an "
            "older one with `xemplar generations activate`"
        )
