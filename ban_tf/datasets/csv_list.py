"""A table of examples: a CSV with the columns `path` (or `text`), `label` and perhaps `split`.

Paths are of image files, relative to the folder of the table. Names of splits are those of folders:
`train`, `test`, and `val`, `valid` or `validation`, in any case; without the column the examples
are split.
"""

from __future__ import annotations

import collections
import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

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

_SPLIT = "split"
_NOUNS = {"path": "images", "text": "texts"}  # what the first column holds


class Row(NamedTuple):
    """An example.

    Attributes:
        content: The path of an image, or a text.
        label: The name of its class.
    """

    content: str
    label: str


class Arranged(NamedTuple):
    """The examples of each part.

    Attributes:
        class_names: In the order of the labels.
        parts: Contents and labels, by the name of the part.
    """

    class_names: tuple[str, ...]
    parts: dict[str, list[tuple[str, int]]]


def existing(path: str) -> pathlib.Path:
    """Returns the file of a table.

    Raises:
        InputError: It does not exist, or is a folder.
    """
    file = pathlib.Path(path)
    if path.startswith("~"):
        file = file.expanduser()
    if not path or not file.is_file():
        what = "is a folder: type --dataset=folder:PATH for images in folders"
        if not file.is_dir() or not path:
            what = "does not exist; give a table of images as --dataset=csv:FILE"
        raise InputError(f"--dataset=csv:{path} {what}.")
    return file


def scan(path: str) -> Scan:
    """Returns the files that a table lists; whether they exist is found when they are read.

    Raises:
        InputError: It is not such a table.
    """
    folder = existing(path).parent
    names, parts = read(path, "path")
    files = {
        part: [(folder / content, label) for content, label in rows] for part, rows in parts.items()
    }
    return Scan(names, files, collections.Counter())


def read(path: str, column: str) -> Arranged:
    """Returns the examples of a table.

    Args:
        path: The file.
        column: The column of their contents: "path" or "text".

    Raises:
        InputError: It is not such a table.
    """
    return arrange(f"csv:{path}", listed(path, column), _NOUNS[column])


def listed(path: str, column: str) -> dict[str, list[Row]]:
    """Returns the rows of a table by part, as `read` does, without checking their classes."""
    found: dict[str, list[Row]] = collections.defaultdict(list)
    for part, row in _rows(path, existing(path), column):
        found[part].append(row)
    return found


def arrange(dataset: str, listed: Mapping[str, Sequence[Row]], noun: str) -> Arranged:
    """Numbers the classes of examples, after checking that parts and classes are complete.

    Args:
        dataset: As `--dataset`, for messages.
        listed: The examples by part: only `ALL`, or `TRAIN`, `TEST` and perhaps `VALIDATION`.
        noun: What the examples are, such as "images".

    Raises:
        InputError: A part or a class is missing.
    """
    _check_parts(dataset, listed, noun)
    main = listed[ALL if ALL in listed else TRAIN]
    names = tuple(sorted({row.label for row in main}, key=natural))
    if len(names) < 2:
        raise InputError(
            f"--dataset={dataset} has {len(names)} class(es) to train with; at least two are "
            "needed."
        )
    _check_classes(dataset, listed, names, noun)
    labels = {name: label for label, name in enumerate(names)}
    parts = {
        part: [(row.content, labels[row.label]) for row in listed[part]]
        for part in (ALL, TRAIN, VALIDATION, TEST)
        if part in listed
    }
    return Arranged(names, parts)


def _rows(path: str, file: pathlib.Path, column: str) -> list[tuple[str, Row]]:
    try:
        # With or without the mark that some programs put before UTF-8.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            missing = [name for name in (column, "label") if name not in names]
            if missing:
                has = folder_hints.listed(name for name in names.values() if name) or "none"
                raise InputError(
                    f"--dataset=csv:{path} must have the columns {column} and label, with names in "
                    f"its first line, separated by commas; it has {has}, and no "
                    f"{' and no '.join(missing)}."
                )
            return [
                _row(path, reader.line_num, names, row, column)
                for row in reader
                if any(row.values())
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--dataset=csv:{path} is not a CSV in UTF-8 ({error}).") from error


def _row(
    path: str, line: int, names: dict[str, str], row: dict[str, str | None], column: str
) -> tuple[str, Row]:
    def cell(name: str) -> str:
        found = (row[names[name]] or "").strip()
        if not found:
            raise InputError(f"--dataset=csv:{path} has an empty {name} in line {line}.")
        return found

    if None in row:  # where DictReader puts what is beyond the columns
        raise InputError(
            f"--dataset=csv:{path} has more cells in line {line} than columns; put cells with "
            "commas in quotes."
        )
    part = ALL
    if _SPLIT in names:
        part = PARTS.get(cell(_SPLIT).lower(), "")
        if not part:
            raise InputError(
                f"--dataset=csv:{path} has the split {cell(_SPLIT)} in line {line}; it must be "
                "train, validation or test."
            )
    return part, Row(cell(column), normalized(cell("label")))


def _check_parts(dataset: str, listed: Mapping[str, Sequence[Row]], noun: str) -> None:
    if not listed:
        raise InputError(f"--dataset={dataset} lists no {noun}.")
    missing = [part for part in (TRAIN, TEST) if part not in listed]
    if ALL not in listed and missing:
        raise InputError(
            f"--dataset={dataset} has no rows of the split {' and '.join(missing)}; add them, or "
            f"leave out the column, so that a part of the {noun} is used for testing."
        )


def _check_classes(
    dataset: str, listed: Mapping[str, Sequence[Row]], names: tuple[str, ...], noun: str
) -> None:
    """Checks that test data have the classes of training data, and validation data no others."""
    for part in (VALIDATION, TEST):
        unknown = {row.label for row in listed.get(part, ())} - set(names)
        if unknown:
            raise InputError(
                f"--dataset={dataset} has classes in its split {part} that are not in train: "
                f"{folder_hints.listed(sorted(unknown, key=natural))}."
            )
    absent = set(names) - {row.label for row in listed.get(TEST, ())}
    if TEST in listed and absent:
        raise InputError(
            f"--dataset={dataset} has classes without test {noun}: "
            f"{folder_hints.listed(sorted(absent, key=natural))}."
        )
