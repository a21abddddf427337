"""The columns of a table: numbers, categories and dates, and what is known of each.

A column is one of numbers if every cell is a number, of dates if every cell is one (`2024-03-01`,
perhaps with a time, `2024-03-01 12:30:00`), and else one of categories; cells may be missing in
all. Means, deviations and the known categories are those of the training rows alone.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import functools
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ban_tf.datasets.table_files import Table
from ban_tf.errors import InputError

NUMBER, CATEGORY, DATE = "number", "category", "date"
# The most common categories of a column are distinguished; all others are one more.
MOST_CATEGORIES = 100
_DATE = re.compile(
    r"(?P<date>\d{4}[-/](0[1-9]|1[0-2])[-/](0[1-9]|[12]\d|3[01]))"
    r"([T ](?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(:(?P<second>[0-5]\d)(\.\d+)?)?Z?)?"
)
_LARGEST = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column that the networks use.

    Attributes:
        name: Its heading.
        key: The name of the model's input for it: the heading in letters, digits and underscores.
        kind: `NUMBER`, `CATEGORY` or `DATE`.
        missing: Whether a training row lacks it.
        mean: Of the numbers, or of the days since 1970.
        std: Likewise; one if all are equal.
        categories: The known categories, the most common first; "" if one is missing.
        times: Whether dates have a time of the day.
    """

    name: str
    key: str
    kind: str
    missing: bool = False
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()
    times: bool = False

    def cells(self, cells: np.ndarray, name: str) -> np.ndarray:
        """Returns the cells of a column as the model takes them, `[rows, 1]`.

        Args:
            cells: Text `[rows]`.
            name: What messages call the table.

        Returns:
            float64, NaN where one is missing; or text, "" where one is missing. A category that
            is written in another way, such as 2.0 for 2, is written as the training rows have it.

        Raises:
            InputError: A cell is no number, or no date.
        """
        if self.kind == NUMBER:
            found = numbers(cells)
            if found is None:
                raise InputError(f"{name}: column {self.name} has {_other(cells)}, no number.")
            return found[:, None]
        if self.kind == CATEGORY:
            return as_known(cells, self.categories)[:, None]
        if days(cells) is None:
            wrong = next(cell for cell in cells if cell and _day(cell) is None)
            raise InputError(
                f"{name}: column {self.name} has {wrong!r}, no date such as 2024-03-01 or "
                "2024-03-01 12:30:00."
            )
        return cells[:, None]


def describe(
    table: Table,
    headings: Sequence[str],
    train: np.ndarray,
    categorical: Collection[str] = (),
) -> tuple[list[Column], dict[str, str]]:
    """Returns what is known of columns, and why some are left out.

    Args:
        table: The table.
        headings: The columns.
        train: The training rows, bool `[rows]`.
        categorical: Columns of numbers that are codes of categories.

    Returns:
        The columns that are used, sorted by their keys, and the reason for each of the others.
    """
    keys = _keys(headings)
    used, left_out = [], {}
    for heading in headings:
        cells = table.columns[heading]
        column = Column(heading, keys[heading], _kind(cells, heading in categorical))
        reason = _useless(cells[train], column.kind)
        if reason:
            left_out[heading] = reason
        else:
            used.append(_measured(column, cells[train]))
    return sorted(used, key=lambda column: column.key), left_out


def arrays(table: Table, columns: Sequence[Column]) -> dict[str, np.ndarray]:
    """Returns what the model takes, `[rows, 1]` of each column by its key.

    Raises:
        InputError: A column is missing, or one of its cells cannot be read.
    """
    absent = [column.name for column in columns if column.name not in table.columns]
    if absent:
        raise InputError(
            f"{table.name} lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)}, with "
            "which the models were trained."
        )
    return {column.key: column.cells(table.columns[column.name], table.name) for column in columns}


def as_known(cells: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Returns cells by the names that they stand for; those that stand for none are unchanged.

    What reads a file may write its cells in another way: pandas has True for true, and 2.0 for 2
    where another cell of the column is missing.

    Args:
        cells: Text `[rows]`.
        names: Known categories or classes; of several that differ by their writing alone, and none
            as the cell has it, the first counts.
    """
    known = {_plain(name): name for name in reversed(names)} | {name: name for name in names}
    found = {cell: known.get(cell, known.get(_plain(cell), cell)) for cell in set(cells)}
    return np.array([found[cell] for cell in cells], object)


def _plain(cell: str) -> str:
    """Returns a number or a truth value in one way of writing it, and other text unchanged."""
    if cell.lower() in ("true", "false"):
        return cell.lower()
    try:
        value = float(cell)
    except ValueError:
        return cell
    if not value.is_integer():
        return repr(value)
    # Larger numbers, such as of accounts, may differ where float64 has one for both.
    return str(int(value)) if abs(value) < 2**53 else cell


def numbers(cells: np.ndarray) -> np.ndarray | None:
    """Returns cells as float64 `[rows]`, NaN where one is missing; None if one is no number."""
    given = cells != ""
    try:
        found = np.where(given, cells, math.nan).astype(np.float64)
    except ValueError:
        return None
    # What float32 cannot hold, infinity included, is no number that a network could take.
    return found if np.all(np.abs(found[given]) <= _LARGEST) else None


def days(cells: np.ndarray) -> np.ndarray | None:
    """Returns dates as days since 1970, NaN where one is missing; None if one is no date."""
    found = [_day(cell) if cell else math.nan for cell in cells]
    return None if None in found else np.array(found, np.float64)


@functools.lru_cache(maxsize=2**16)  # a column has many rows of few days
def _day(cell: str) -> float | None:
    match = _DATE.fullmatch(cell)
    try:
        date = match and datetime.date.fromisoformat(match["date"].replace("/", "-"))
    except ValueError:  # such as the 31st of April
        return None
    return None if date is None else float((date - datetime.date(1970, 1, 1)).days)


def _kind(cells: np.ndarray, is_category: bool) -> str:
    if is_category or not np.any(cells != ""):
        return CATEGORY
    if numbers(cells) is not None:
        return NUMBER
    return DATE if days(cells) is not None else CATEGORY


def _useless(cells: np.ndarray, kind: str) -> str:
    """Returns why a column is of no use; empty if it is of use."""
    different = len(set(cells))
    if different == 1:
        return "one value"
    if kind == CATEGORY and different > MOST_CATEGORIES and 2 * different > len(cells):
        return "a value of its own in most rows"
    return ""


def _measured(column: Column, cells: np.ndarray) -> Column:
    """Returns a column with what the training rows say of it."""
    missing = bool(np.any(cells == ""))
    if column.kind == CATEGORY:
        counts = collections.Counter(cells)
        common = sorted(counts, key=lambda value: (-counts[value], value))[:MOST_CATEGORIES]
        return dataclasses.replace(column, missing=missing, categories=tuple(common))
    found = numbers(cells) if column.kind == NUMBER else days(cells)
    assert found is not None
    mean, deviation = float(np.nanmean(found)), float(np.nanstd(found))
    times = column.kind == DATE and any(match(cell)["hour"] for cell in cells if cell)
    return dataclasses.replace(
        column,
        missing=missing,
        mean=mean,
        std=usable_deviation(mean, deviation),
        times=times,
    )


def match(cell: str) -> Mapping[str, Any]:
    """Returns the parts of a date by their names."""
    found = _DATE.fullmatch(cell)
    assert found is not None
    return found.groupdict()


def usable_deviation(mean: float, deviation: float) -> float:
    """Returns a deviation to divide by: one, if numbers differ by the rounding of float64 alone."""
    return deviation if deviation > max(1e-30, 1e-12 * abs(mean)) else 1.0


def _other(cells: np.ndarray) -> str:
    """Returns the first cell that is no number, quoted."""
    return next(repr(cell) for cell in cells if cell and numbers(np.array([cell], object)) is None)


# Names of layers of the saved models, which inputs cannot have.
_LAYERS = ("columns", "values", "probabilities")
_ENCODER = "encode_"


def _keys(headings: Sequence[str]) -> dict[str, str]:
    """Returns names that Keras and TensorFlow accept, each another one."""
    found: dict[str, str] = {}
    for heading in headings:
        key = plain = re.sub(r"\W+", "_", heading, flags=re.ASCII).strip("_") or "column"
        if key in _LAYERS or key.startswith(_ENCODER):
            key = plain = f"column_{plain}"
        number = 2
        while key in found.values():
            key, number = f"{plain}_{number}", number + 1
        found[heading] = key
    return found
