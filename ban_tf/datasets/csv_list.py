"""A table of examples: a CSV with the columns `path` (or `text`), `label` and perhaps `split`.

Paths are of image files, relative to the folder of the table. Names of splits are those of folders:
`train`, `test`, and `val`, `valid` or `validation`, in any case; without the column the examples
are split. A table whose images have several labels is read by `label_list`, with functions from
here.
"""

from __future__ import annotations

import collections
import csv
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ban_tf.datasets import folder_hints
from ban_tf.datasets.folder_layout import (
    ALL,
    PARTS,
    TEST,
    TRAIN,
    VALIDATION,
    Scan,
    natural,
    normalized,
)
from ban_tf.errors import InputError

PATH, TEXT, LABEL, SPLIT = "path", "text", "label", "split"
_NOUNS = {PATH: "images", TEXT: "texts"}  # what the columns of contents hold


class Row(NamedTuple):
    """An example.

    Attributes:
        content: The path of an image as written, or a text.
        label: The cell of its label, such as the name of its class.
    """

    content: str
    label: Any


class Arranged(NamedTuple):
    """The examples of each part.

    Attributes:
        class_names: In the order of the labels.
        parts: Contents and labels, by the name of the part.
    """

    class_names: tuple[str, ...]
    parts: dict[str, list[tuple[str, Any]]]


class Cell(Protocol):
    """Returns the cell of a row in a column, which is named in lower case."""

    def __call__(self, column: str, may_be_empty: bool = False) -> str:
        """Raises an `InputError` that names the line if the cell is empty and must not be."""
        ...


# Is given the headings, checks them, and returns what reads the label of a row.
Labels = Callable[[Sequence[str]], Callable[[Cell], Any]]


def existing(dataset: str) -> pathlib.Path:
    """Returns the file of a table.

    Args:
        dataset: As `--dataset`, a prefix and the file.

    Raises:
        InputError: It does not exist, or is a folder.
    """
    prefix, _, path = dataset.partition(":")
    file = pathlib.Path(path)
    if path.startswith("~"):
        file = file.expanduser()
    # Unlike those of pathlib, these are false for names that are too long.
    if not path or not os.path.isfile(file):  # noqa: PTH113
        what = "is a folder: type --dataset=folder:PATH for images in folders"
        if not os.path.isdir(file) or not path:  # noqa: PTH112
            kind = "images" if prefix != "csv" else "images, of texts or of rows"
            what = f"does not exist; give a table of {kind} as --dataset={prefix}:FILE"
        raise InputError(f"--dataset={dataset} {what}.")
    return file


def scan(dataset: str) -> Scan:
    """Returns the files that a table lists; whether they exist is found when they are read.

    Args:
        dataset: As `--dataset`.

    Raises:
        InputError: It is not such a table.
    """
    return as_scan(dataset, read(dataset, PATH))


def as_scan(dataset: str, found: Arranged) -> Scan:
    """Returns the files of examples, which are relative to the folder of their table."""
    folder = existing(dataset).parent
    files = {
        part: [(folder / content, label) for content, label in rows]
        for part, rows in found.parts.items()
    }
    return Scan(found.class_names, files, collections.Counter())


def read(dataset: str, column: str) -> Arranged:
    """Returns the examples of a table, each of one class.

    Args:
        dataset: As `--dataset`.
        column: The column of their contents: "path" or "text".

    Raises:
        InputError: It is not such a table.
    """

    def labels(headings: Sequence[str]) -> Callable[[Cell], str]:
        known = [name.lower() for name in headings]
        missing = [name for name in (column, LABEL) if name not in known]
        if missing:
            has = folder_hints.listed(name for name in headings if name) or "none"
            raise InputError(
                f"--dataset={dataset} must have the columns {column} and label, with names in "
                f"its first line, separated by commas; it has {has}, and no "
                f"{' and no '.join(missing)}."
            )
        return lambda cell: normalized(cell(LABEL))

    return arrange(dataset, listed(dataset, column, labels), _NOUNS[column])


def listed(dataset: str, column: str, labels: Labels) -> dict[str, list[Row]]:
    """Returns the rows of a table by part.

    Args:
        dataset: As `--dataset`.
        column: The column of their contents: "path" or "text".
        labels: Reads the labels; see `Labels`.

    Raises:
        InputError: It is not a table.
    """
    found: dict[str, list[Row]] = collections.defaultdict(list)
    for part, row in _rows(dataset, existing(dataset), column, labels):
        found[part].append(row)
    return dict(found)


def arrange(dataset: str, listed: Mapping[str, Sequence[Row]], noun: str) -> Arranged:
    """Numbers the classes of examples, after checking that parts and classes are complete.

    Args:
        dataset: As `--dataset`, for messages.
        listed: The examples by part: only `ALL`, or `TRAIN`, `TEST` and perhaps `VALIDATION`.
        noun: What the examples are, such as "images".

    Raises:
        InputError: A part or a class is missing.
    """
    check_parts(dataset, listed, noun)
    main = listed[ALL if ALL in listed else TRAIN]
    names = tuple(sorted({row.label for row in main}, key=natural))
    if len(names) < 2:
        raise InputError(
            f"--dataset={dataset} has {len(names)} class(es) to train with; at least two are "
            "needed."
        )
    check_known(dataset, {part: {row.label for row in listed[part]} for part in listed}, names)
    absent = set(names) - {row.label for row in listed.get(TEST, ())}
    if TEST in listed and absent:
        raise InputError(
            f"--dataset={dataset} has classes without test {noun}: "
            f"{folder_hints.listed(sorted(absent, key=natural))}."
        )
    labels = {name: label for label, name in enumerate(names)}
    return numbered(names, listed, labels.__getitem__)


def numbered(
    names: tuple[str, ...], listed: Mapping[str, Sequence[Row]], number: Callable[[Any], Any]
) -> Arranged:
    """Returns examples with labels as numbers.

    Args:
        names: In the order of the numbers.
        listed: The examples by part.
        number: From the label of a row to its number, or its numbers.
    """
    parts = {
        part: [(row.content, number(row.label)) for row in listed[part]]
        for part in (ALL, TRAIN, VALIDATION, TEST)
        if part in listed
    }
    return Arranged(names, parts)


def check_parts(dataset: str, listed: Mapping[str, Sequence[Row]], noun: str) -> None:
    """Checks that there are examples to train and to test with.

    Raises:
        InputError: There are not.
    """
    if not listed:
        raise InputError(f"--dataset={dataset} lists no {noun}.")
    missing = [part for part in (TRAIN, TEST) if part not in listed]
    if ALL not in listed and missing:
        raise InputError(
            f"--dataset={dataset} has no rows of the split {' and '.join(missing)}; add them, or "
            f"leave out the column, so that a part of the {noun} is used for testing."
        )


def check_known(dataset: str, found: Mapping[str, set[str]], names: Sequence[str]) -> None:
    """Checks that validation and test data have no classes that are not in the training data.

    Args:
        dataset: As `--dataset`, for messages.
        found: The names of the classes in each part.
        names: Those of the training data.

    Raises:
        InputError: They have.
    """
    for part in (VALIDATION, TEST):
        unknown = found.get(part, set()) - set(names)
        if unknown:
            raise InputError(
                f"--dataset={dataset} has classes in its split {part} that are not in train: "
                f"{folder_hints.listed(sorted(unknown, key=natural))}."
            )


def _rows(dataset: str, file: pathlib.Path, column: str, labels: Labels) -> list[tuple[str, Row]]:
    try:
        # With or without the mark that some programs put before UTF-8.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            headings = [(name or "").strip() for name in reader.fieldnames or ()]
            names = dict(zip(map(str.lower, headings), reader.fieldnames or (), strict=True))
            label_of = labels(headings)
            return [
                _row(dataset, reader.line_num, names, row, column, label_of)
                for row in reader
                if any(row.values())
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--dataset={dataset} is not a CSV in UTF-8 ({error}).") from error


def _row(
    dataset: str,
    line: int,
    names: Mapping[str, str],
    row: Mapping[Any, str | None],
    column: str,
    label_of: Callable[[Cell], Any],
) -> tuple[str, Row]:
    def cell(column: str, may_be_empty: bool = False) -> str:
        found = (row[names[column]] or "").strip()
        if not found and not may_be_empty:
            raise InputError(f"--dataset={dataset} has an empty {column} in line {line}.")
        return found

    if None in row:  # where DictReader puts what is beyond the columns
        raise InputError(
            f"--dataset={dataset} has more cells in line {line} than columns; put cells with "
            "commas in quotes."
        )
    part = ALL
    if SPLIT in names:
        part = PARTS.get(cell(SPLIT).lower(), "")
        if not part:
            raise InputError(
                f"--dataset={dataset} has the split {cell(SPLIT)} in line {line}; it must be "
                "train, validation or test."
            )
    return part, Row(cell(column), label_of(cell))
