"""Tables of numbers as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ban_tf.errors import InputError


def write(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns a table as CSV, with a line feed after each row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(rows)
    return text.getvalue()


def to_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Returns rows as CSV, with a column for every name that occurs in any row."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return write(names, ([row.get(name, "") for name in names] for row in rows)).encode()


def from_csv(content: bytes) -> list[dict[str, float]]:
    """Returns the rows that `to_csv` wrote.

    Raises:
        InputError: The content is not a table of numbers.
    """
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    if any(None in row or None in row.values() for row in rows):
        raise InputError("A row of the table has a different number of columns than its heading.")
    return [{name: float(value) for name, value in row.items() if value} for row in rows]
