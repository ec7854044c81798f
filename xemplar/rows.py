"""CSV files that people write: read row by row, and refused with file, line and reason."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from xemplar.errors import DatasetError


def read_rows(file: Path, wanted: Iterable[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(line number, column -> stripped text) of each row; further columns are kept.

    Args:
        file: CSV in UTF-8, with a header.
        wanted: columns that it must have.

    Raises:
        DatasetError: it cannot be read, or lacks a column.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text)
            missing = set(wanted) - set(reader.fieldnames or ())
            if missing:
                raise DatasetError(f"{file} lacks the column(s) {', '.join(sorted(missing))}")
            for row in reader:
                yield reader.line_num, {k: (v or "").strip() for k, v in row.items() if k}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file} cannot be read as a CSV file in UTF-8: {error}") from error
