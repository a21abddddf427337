"""Tables as training, validation and test data: classes or numbers to predict from columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np
from absl import logging

from ban_tf.datasets import folder_hints, table_columns, table_files, table_splits
from ban_tf.datasets.folder_layout import TRAIN, natural
from ban_tf.datasets.table_columns import Column
from ban_tf.datasets.table_files import Table
from ban_tf.errors import InputError

CLASSES, NUMBER = "classes", "number"
TARGET_KINDS = ("auto", CLASSES, NUMBER)
# A target of more different whole numbers is a number to predict, not a class.
_MOST_CLASSES = 20
# Below this share of the mean, the rounding of float32 is more than a percent of the deviation.
_FINE = 5e-6


@dataclasses.dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        name: The heading of its column.
        class_names: In the order of the labels; empty for a number.
        mean: Of the training rows, for a number.
        std: Likewise; one if all are equal.
    """

    name: str
    class_names: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    @property
    def kind(self) -> str:
        """`CLASSES` or `NUMBER`."""
        return CLASSES if self.class_names else NUMBER


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a table.

    Attributes:
        inputs: What the model takes, `[rows, 1]` of each column by its key.
        targets: Classes, int32 `[rows]`, or numbers, float64 `[rows]`.
        index: Their numbers in the table, from 0, `[rows]`.
        content: A hash of the whole table.
    """

    inputs: dict[str, np.ndarray]
    targets: np.ndarray
    index: np.ndarray
    content: str = ""

    @property
    def keys(self) -> list[str]:
        """What each row is known by, in recordings of teachers: the table and its number there."""
        return [f"{self.content} {number}" for number in self.index]

    @property
    def numbers(self) -> list[str]:
        """Their numbers in the file as a reader counts: from 1, without the line of headings."""
        return [str(number + 1) for number in self.index]

    def __len__(self) -> int:
        return len(self.targets)


@dataclasses.dataclass(frozen=True, eq=False)
class TableData:
    """A table to train with.

    Attributes:
        name: The value of `--dataset`.
        columns: The columns that are used.
        left_out: Why each of the others is not.
        target: What is predicted.
        parts: The rows of `TRAIN`, `VALIDATION` (perhaps none) and `TEST`.
        content: A hash of the table.
    """

    name: str
    columns: list[Column]
    left_out: dict[str, str]
    target: Target
    parts: dict[str, Rows]
    content: str


def load(
    dataset: str,
    *,
    target: str | None = None,
    target_kind: str = "auto",
    ignored: Collection[str] = (),
    categorical: Collection[str] = (),
    test_fraction: float = 0.2,
    validation_fraction: float = 0.1,
    train_examples: int | None = None,
    seed: int = 0,
) -> TableData:
    """Loads a table.

    Without a column `split`, the test rows are the same for every seed.

    Args:
        dataset: See `table_files.path_of`.
        target: The column to predict; see `table_files.target_of`.
        target_kind: `CLASSES`, `NUMBER`, or "auto": a number if every cell is one and they are not
            all whole, or take more than 20 values.
        ignored: Columns that are left out.
        categorical: Columns of numbers that are codes of categories.
        test_fraction: Fraction of the rows used for testing, if the table has no column `split`.
        validation_fraction: Fraction of the training rows used for validation, if that column
            names none.
        train_examples: Use only this number of training rows, a fixed random choice; validation
            rows are taken from these.
        seed: Chooses the validation rows.

    Raises:
        InputError: The table cannot be read, or has too little to train with.
    """
    table = table_files.read(dataset)
    heading = table_files.target_of(table, target)
    used = _used(table, heading, ignored, categorical)
    labels, found = _targets(table, heading, target_kind)
    chosen = table_splits.split(
        table, labels, test_fraction, validation_fraction, seed, train_examples
    )
    found = _measured(found, table, labels, chosen)
    columns, left_out = table_columns.describe(table, used, chosen[TRAIN], categorical)
    if not columns:
        raise InputError(f"{table.name} has no column with information on {heading}.")
    inputs = table_columns.arrays(table, columns)
    known_by = table.content()
    parts = {
        part: dataclasses.replace(_select(inputs, labels, rows), content=known_by)
        for part, rows in chosen.items()
    }
    return TableData(dataset, columns, left_out, found, parts, known_by)


def kind_of_target(dataset: str, target: str | None, kind: str) -> tuple[str, str]:
    """Returns the heading and the kind of what is predicted, before a table is loaded.

    Args:
        dataset: See `table_files.path_of`.
        target: As for `load`.
        kind: As for `load`.

    Raises:
        InputError: The table cannot be read.
    """
    table = table_files.read(dataset)
    heading = table_files.target_of(table, target)
    return heading, _targets(table, heading, kind)[1].kind


def test_rows(table: Table, columns: list[Column], target: Target, fraction: float | None) -> Rows:
    """Returns the test rows of another table with the columns of a run.

    Args:
        table: The table.
        columns: The columns of the run.
        target: What the run predicts.
        fraction: Where the table has no column `split`, the fraction of the rows used for testing,
            as in `load`; None for all rows.

    Raises:
        InputError: A column is missing, or a class is not one of the run.
    """
    if target.name not in table.columns:
        raise InputError(f"{table.name} lacks the column {target.name}, which the run predicts.")
    labels = labels_of(table, target)
    chosen = np.ones(len(table), bool)
    if fraction is not None or table_splits.column(table) is not None:
        chosen = table_splits.test(table, labels, fraction or 0.0)
    return _select(table_columns.arrays(table, columns), labels, chosen)


def _select(inputs: dict[str, np.ndarray], labels: np.ndarray, chosen: np.ndarray) -> Rows:
    some = {key: cells[chosen] for key, cells in inputs.items()}
    return Rows(some, labels[chosen], np.flatnonzero(chosen))


def labels_of(table: Table, target: Target) -> np.ndarray:
    """Returns the targets of a table, as in `Rows`.

    Raises:
        InputError: One is missing, is no number, or is not one of the classes.
    """
    cells = table.columns[target.name]
    if np.any(cells == ""):
        row = int(np.flatnonzero(cells == "")[0]) + 1
        raise InputError(f"{table.name} has no {target.name} in row {row}; leave that row out.")
    if target.kind == NUMBER:
        found = table_columns.numbers(cells)
        if found is None:
            raise InputError(f"{table.name}: column {target.name} has cells that are no numbers.")
        return found
    labels = {name: label for label, name in enumerate(target.class_names)}
    cells = table_columns.as_known(cells, target.class_names)
    unknown = sorted(set(cells) - set(labels))
    if unknown:
        raise InputError(
            f"{table.name}: column {target.name} has the class {unknown[0]}, which is not one of "
            f"{folder_hints.listed(target.class_names)}."
        )
    return np.array([labels[cell] for cell in cells], np.int32)


def _used(
    table: Table, target: str, ignored: Collection[str], categorical: Collection[str]
) -> list[str]:
    """Returns the headings of the columns to learn from."""
    for flag, names in (("ignored_columns", ignored), ("categorical_columns", categorical)):
        for name in names:
            if name not in table.columns or name == target:
                raise InputError(
                    f"--{flag} names {name}, which is no column to learn from; these are "
                    f"{', '.join(key for key in table.columns if key != target)}."
                )
    others = {target, table_splits.column(table), *ignored}
    return [heading for heading in table.columns if heading not in others]


def _targets(table: Table, heading: str, kind: str) -> tuple[np.ndarray, Target]:
    """Returns the labels, and what is known of the target before the table is split."""
    cells = table.columns[heading]
    values = table_columns.numbers(cells)
    if kind == "auto":
        kind = NUMBER if values is not None and _varies(values) else CLASSES
    names = tuple(sorted(set(cells) - {""}, key=natural)) if kind == CLASSES else ()
    if kind == CLASSES and len(names) < 2:
        raise InputError(
            f"{table.name}: column {heading} has {len(names)} class(es); at least two are needed."
        )
    found = Target(heading, names)
    return labels_of(table, found), found


def measured(name: str, train: np.ndarray) -> Target:
    """Returns a number to predict, with its statistics.

    Args:
        name: What it is called.
        train: The numbers of the training examples.
    """
    mean, deviation = float(train.mean()), float(train.std())
    std = table_columns.usable_deviation(mean, deviation)
    if deviation == std < _FINE * abs(mean):
        logging.warning(
            "%s is %.9g on average, and deviates from it by only %.3g: ban-tf predicts and "
            "measures such numbers in float64, but its saved models return float32, which rounds "
            "them coarsely; subtract a constant from the column if you use these without ban-tf.",
            name,
            mean,
            deviation,
        )
    return Target(name, mean=mean, std=std)


def _varies(values: np.ndarray) -> bool:
    values = values[~np.isnan(values)]
    return bool(np.any(values % 1)) or len(np.unique(values)) > _MOST_CLASSES


def _measured(
    target: Target, table: Table, labels: np.ndarray, chosen: dict[str, np.ndarray]
) -> Target:
    """Returns the target with its statistics, after checking that each class can be learned."""
    train = labels[chosen[TRAIN]]
    if target.kind == NUMBER:
        return measured(target.name, train)
    absent = [name for label, name in enumerate(target.class_names) if label not in train]
    if absent:
        raise InputError(
            f"{table.name} has no training rows of the class {absent[0]} in column {target.name}; "
            "add some, or leave out its rows."
        )
    return target
