"""A table of images with a number each: a CSV with the columns `path`, `value`, maybe `split`.

The number may be in a column of another name (`--target`). Parts are those of `csv_list`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ban_tf.datasets import csv_list, folder_hints, table_files
from ban_tf.datasets.csv_list import LABEL, PATH, SPLIT, Cell
from ban_tf.datasets.folder_layout import Scan
from ban_tf.errors import InputError

PREFIX = "regression"
VALUE = "value"
EMBEDDED = "digits"  # which are rotated
_TARGETS = (VALUE, "target", LABEL)
_LARGEST = float(np.finfo(np.float32).max)


def is_of_numbers(dataset: str, headings: Sequence[str]) -> bool:
    """Returns whether a dataset is of images with numbers.

    Args:
        dataset: The value of `--dataset`.
        headings: The columns of its table in lower case, if it has one.
    """
    return dataset.startswith(f"{PREFIX}:") or (VALUE in headings and LABEL not in headings)


def scan(dataset: str, target: str | None = None) -> Scan:
    """Returns the files that a table lists, each with its number; the only "class" is the column.

    Args:
        dataset: The value of `--dataset`.
        target: The column of the numbers; None for `value`, `target` or `label`, or the only one
            that is left.

    Raises:
        InputError: It is not such a table.
    """
    found: list[str] = []

    def reader(names: Sequence[str]) -> Callable[[Cell], float]:
        found.append(_column(dataset, names, target))
        return lambda cell: _number(dataset, found[0], cell)

    listed = csv_list.listed(dataset, PATH, reader)
    csv_list.check_parts(dataset, listed, "images")
    return csv_list.as_scan(dataset, csv_list.numbered((found[0],), listed, float))


def known_parts(dataset: str) -> set[str]:
    """Returns the parts of a table, as `table_files.known_parts` does."""
    name = dataset.partition(":")[2]
    return set() if name == EMBEDDED else table_files.known_parts(f"csv:{name}")


def _column(dataset: str, names: Sequence[str], target: str | None) -> str:
    """Returns the heading of the numbers."""
    others = [name for name in names if name and name.lower() not in (PATH, SPLIT)]
    usual = [name for name in others if name.lower() in _TARGETS]
    if target is None:
        wanted = usual[:1] or (others if len(others) == 1 else [])
    else:
        wanted = [name for name in others if name.lower() == target.lower()]
    if PATH not in map(str.lower, names) or not wanted:
        has = folder_hints.listed(name for name in names if name) or "none"
        raise InputError(
            f"--dataset={dataset} must have the columns path and {target or VALUE}, with names in "
            f"its first line, separated by commas; it has {has}."
            + ("" if target else " --target names another column of numbers.")
        )
    return wanted[0]


def _number(dataset: str, column: str, cell: Cell) -> float:
    written = cell(column.lower())
    try:
        number = float(written)
    except ValueError:
        number = np.nan
    if not abs(number) <= _LARGEST:
        raise InputError(
            f"--dataset={dataset} has {written} in the column {column} for {cell(PATH)}, which is "
            "no number to predict; images of classes have a column label."
        )
    return number
