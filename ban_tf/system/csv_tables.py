"""Tables of numbers as CSV."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from ban_tf.errors import InputError

_DELIMITERS = ",;\t"
_MOST_CELLS = 2_000_000  # of a table that is read
# Spreadsheets take text that begins with one of these for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns a table as CSV, with a line feed after each row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(rows)
    return text.getvalue()


def for_spreadsheets(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns a table as CSV whose text no spreadsheet takes for a formula.

    An apostrophe is put before text that begins with `=`, `+`, `-`, `@`, a tab or a carriage
    return; numbers are left alone.
    """
    return write(list(map(_as_text, headings)), (list(map(_as_text, row)) for row in rows))


def number(value: float) -> str:
    """Returns a number as text: float32 takes nine digits, one far from zero may need more."""
    return f"{value:.12g}"


def _as_text(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def headings(path: str) -> list[str]:
    """Returns the names of a file's columns in lower case; none if it cannot be read."""
    try:
        file = pathlib.Path(path).expanduser()
        if not file.is_file():  # a pipe would wait
            return []
        with file.open(encoding="utf-8-sig", newline="") as stream:
            names = next(csv.reader(stream, delimiter=delimiter(stream)), [])
    except (OSError, ValueError, csv.Error, RuntimeError):
        return []
    return [name.strip().lower() for name in names]


def delimiter(stream: TextIO) -> str:
    """Returns what separates the cells of a file at its beginning: commas, semicolons or tabs."""
    first = stream.readline()
    stream.seek(0)
    return max(_DELIMITERS, key=first.count)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Returns rows as CSV, with a column for every name that occurs in any row."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return write(names, ([row.get(name, "") for name in names] for row in rows)).encode()


def from_csv(content: bytes) -> list[dict[str, float]]:
    """Returns the rows that `to_csv` wrote.

    Raises:
        InputError: The content is not a table of numbers.
    """
    if content.count(b",") + content.count(b"\n") > _MOST_CELLS:
        raise InputError(f"The table has more than {_MOST_CELLS:,} cells.")
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode())))
    except csv.Error as error:  # such as a cell of a hundred thousand characters
        raise InputError(f"This is not a table: {error}.") from error
    if not rows and content.strip():
        raise InputError("The table has no rows.")
    if any(None in row or None in row.values() for row in rows):
        raise InputError("A row of the table has a different number of columns than its heading.")
    return [{name: float(value) for name, value in row.items() if value} for row in rows]
