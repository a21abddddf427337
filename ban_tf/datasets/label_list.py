"""A table of image files that have several labels each, or none.

Beside `path` and perhaps `split` (see `csv_list`) it has either a column `labels`, whose cells name
the labels that hold, separated by `|` or `;`, or a column of zeros and ones for each label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ban_tf.datasets import csv_list, folder_hints, table_files
from ban_tf.datasets.csv_list import LABEL, PATH, SPLIT, Cell
from ban_tf.datasets.folder_layout import ALL, TRAIN, Scan, natural, normalized
from ban_tf.errors import InputError

LABELS = "labels"
EMBEDDED = "digits"  # pairs of them
_NUMBERS = {"0": False, "1": True, "0.0": False, "1.0": True}


def scan(dataset: str) -> Scan:
    """Returns the files that a table lists, each with zeros and ones, one for each label.

    Labels are in natural order, or in that of their columns.

    Args:
        dataset: The value of `--dataset`.

    Raises:
        InputError: It is not such a table.
    """
    columns: list[str] = []

    def reader(names: Sequence[str]) -> Callable[[Cell], frozenset[str]]:
        columns.extend(_columns(dataset, names))
        if not columns:
            return _named
        return lambda cell: _marked(dataset, columns, cell)

    listed = csv_list.listed(dataset, PATH, reader)
    csv_list.check_parts(dataset, listed, "images")
    found = {part: {name for row in rows for name in row.label} for part, rows in listed.items()}
    main = found[ALL if ALL in found else TRAIN]
    names = tuple(map(normalized, columns)) or tuple(sorted(main, key=natural))
    if len(names) < 2:
        raise InputError(
            f"--dataset={dataset} has {len(names)} label(s) to train with; at least two are "
            "needed. Images of two classes have one column, label."
        )
    absent = [name for name in names if name not in main]
    if absent:
        raise InputError(
            f"--dataset={dataset} has labels without a training image: "
            f"{folder_hints.listed(absent)}; leave out their columns."
        )
    csv_list.check_known(dataset, found, names)
    numbers = csv_list.numbered(
        names, listed, lambda label: tuple(int(name in label) for name in names)
    )
    return csv_list.as_scan(dataset, numbers)


def known_parts(dataset: str) -> set[str]:
    """Returns the parts of a table, as `table_files.known_parts` does."""
    name = dataset.partition(":")[2]
    return (
        set()
        if name == EMBEDDED or name.startswith("tfds:")
        else table_files.known_parts(f"csv:{name}")
    )


def _columns(dataset: str, names: Sequence[str]) -> list[str]:
    """Returns the headings of the columns of labels; none if there is a column `labels`."""
    known = [name.lower() for name in names]
    if PATH in known and LABELS in known:
        return []
    columns = [name for name in names if name and name.lower() not in (PATH, SPLIT)]
    if PATH not in known or LABEL in known or not columns or len(set(known)) < len(known):
        has = folder_hints.listed(name for name in names if name) or "none"
        raise InputError(
            f"--dataset={dataset} must have the columns path and labels, or path and a column of "
            "zeros and ones for each label, with different names in its first line, separated by "
            f"commas; it has {has}."
        )
    return columns


def _named(cell: Cell) -> frozenset[str]:
    parts = re.split(r"[|;]", cell(LABELS, may_be_empty=True))
    return frozenset(normalized(part.strip()) for part in parts if part.strip())


def _marked(dataset: str, columns: Sequence[str], cell: Cell) -> frozenset[str]:
    found = set()
    for column in columns:
        written = cell(column.lower())
        if written not in _NUMBERS:
            raise InputError(
                f"--dataset={dataset} has {written} in the column {column} for {cell(PATH)}; each "
                "column but path and split must be a label, with 0 or 1 for every image."
            )
        if _NUMBERS[written]:
            found.add(normalized(column))
    return frozenset(found)
