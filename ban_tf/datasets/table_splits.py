"""Training, validation and test rows of a table: as its column `split` says, or chosen."""

from __future__ import annotations

import numpy as np

from ban_tf.datasets import splits, table_files
from ban_tf.datasets.folder_layout import PARTS, TEST, TRAIN, VALIDATION
from ban_tf.datasets.table_files import Table
from ban_tf.errors import InputError
from ban_tf.system import seeds


def split(
    table: Table,
    labels: np.ndarray,
    test_fraction: float,
    validation_fraction: float,
    seed: int,
    train_examples: int | None = None,
) -> dict[str, np.ndarray]:
    """Returns the rows of `TRAIN`, `VALIDATION` and `TEST`, bool `[rows]`.

    Rows that are chosen have the same share of each class, or of each range of a number.

    Args:
        table: The table.
        labels: Classes, integers `[rows]`, or numbers, floats `[rows]`.
        test_fraction: Fraction used for testing, if there is no column `split`; the same rows
            for every seed.
        validation_fraction: Fraction of the training rows used for validation, if it names none.
        seed: Chooses the validation rows.
        train_examples: Use only this number of training rows, a fixed random choice.

    Raises:
        InputError: The column has another name in it, or no rows to train or to test with.
    """
    chosen = _first_split(table, labels, test_fraction)
    if train_examples is not None:
        chosen[TRAIN] = _some(table, chosen[TRAIN], train_examples)
    if VALIDATION not in chosen:
        held_out = np.zeros(len(table), bool)
        train = np.flatnonzero(chosen[TRAIN])
        seed = seeds.derive_seed(seed, "validation")
        held_out[train[splits.choose(labels[train], validation_fraction, seed)]] = True
        chosen |= {TRAIN: chosen[TRAIN] & ~held_out, VALIDATION: held_out}
    return chosen


def _some(table: Table, train: np.ndarray, count: int) -> np.ndarray:
    rows = np.flatnonzero(train)
    if count > len(rows):
        raise InputError(
            f"--train_examples={count} must be between 2 and the {len(rows)} training rows of "
            f"{table.name}."
        )
    kept = np.zeros(len(train), bool)
    kept[np.random.default_rng(0).permutation(rows)[:count]] = True
    return kept


def test(table: Table, labels: np.ndarray, fraction: float) -> np.ndarray:
    """Returns the test rows, bool `[rows]`; arguments and errors as for `split`."""
    heading = column(table)
    if heading is None:
        return _first_split(table, labels, fraction)[TEST]
    found = _named(table, heading)
    if TEST not in found:
        raise InputError(f"{table.name} has no rows of the split {TEST}.")
    return found[TEST]


def column(table: Table) -> str | None:
    """Returns the heading of the column `split`; None if there is none."""
    return next((name for name in table.columns if name.lower() == table_files.SPLIT), None)


def _first_split(table: Table, labels: np.ndarray, fraction: float) -> dict[str, np.ndarray]:
    heading = column(table)
    if heading is None:
        held_out = splits.choose_test(labels, fraction)
        found = {TRAIN: ~held_out, TEST: held_out}
    else:
        found = _named(table, heading)
    for part in (TRAIN, TEST):
        if part not in found or not found[part].any():
            if heading is None:
                raise InputError(f"{table.name} has too few rows to train and to test with.")
            raise InputError(
                f"{table.name} has no rows of the split {part}; add some, or leave out the column, "
                "so that a part of the rows is used for testing."
            )
    return found


def _named(table: Table, heading: str) -> dict[str, np.ndarray]:
    cells = table.columns[heading]
    parts = np.array([PARTS.get(cell.lower(), "") for cell in cells], object)
    if np.any(parts == ""):
        row = int(np.flatnonzero(parts == "")[0])
        raise InputError(
            f"{table.name} has the split {cells[row] or 'of no name'} in row {row + 1}; it must be "
            "train, validation or test."
        )
    return {part: parts == part for part in (TRAIN, VALIDATION, TEST) if np.any(parts == part)}
