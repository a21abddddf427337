"""The features that networks take of a table's columns, in NumPy.

`tasks.table_features` makes the same of them by a Keras model, which needs TensorFlow; other
backends have no tensors of text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ban_tf.datasets import table_columns
from ban_tf.datasets.table_columns import Column

# Of a category outside of the known ones.
UNKNOWN = "[UNK]"


class ColumnFeatures:
    """Prepares columns.

    Args:
        columns: The columns, sorted by their keys.
    """

    def __init__(self, columns: Sequence[Column]):
        self.columns = tuple(columns)

    @property
    def output_shape(self) -> tuple[None, int]:
        """The shape of the features, as a Keras model has it."""
        return None, sum(_width(column) for column in self.columns)

    def encode(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the features of rows, float32 `[rows, features]`.

        Args:
            inputs: Of each column by its key, `[rows, 1]`; see `Column.cells`.
        """
        prepare = {
            table_columns.NUMBER: _number,
            table_columns.DATE: _date,
            table_columns.CATEGORY: _category,
        }
        found = [prepare[column.kind](column, inputs[column.key][:, 0]) for column in self.columns]
        return np.concatenate(found, axis=1)


def _width(column: Column) -> int:
    if column.kind == table_columns.CATEGORY:
        return 1 + len(_known(column))
    return (5 + 2 * column.times if column.kind == table_columns.DATE else 1) + column.missing


def _known(column: Column) -> list[str]:
    return [value for value in column.categories if value != UNKNOWN]


def _number(column: Column, cells: np.ndarray) -> np.ndarray:
    missing = np.isnan(cells)
    scaled = (np.where(missing, column.mean, cells) - column.mean) / column.std
    return _beside(column, [scaled], missing)


def _category(column: Column, cells: np.ndarray) -> np.ndarray:
    places = {value: place for place, value in enumerate(_known(column), start=1)}
    found = np.zeros((len(cells), _width(column)), np.float32)
    found[np.arange(len(cells)), [places.get(cell, 0) for cell in cells]] = 1
    return found


def _date(column: Column, cells: np.ndarray) -> np.ndarray:
    missing = cells == ""
    dates = [table_columns.match(cell or "1970-01-01") for cell in cells]
    since_1970 = table_columns.days(cells)
    assert since_1970 is not None  # `Column.cells` has checked it
    days = np.nan_to_num(since_1970).astype(np.float32)
    month, day = (
        np.array([int(date["date"][part]) for date in dates], np.float32)
        for part in (slice(5, 7), slice(8, 10))
    )
    one, full = np.float32(1), np.float32(2 * np.pi)
    turns = [((month - one) + (day - one) / np.float32(31)) / np.float32(12)]
    turns.append((days + 3) % np.float32(7) / np.float32(7))
    if column.times:
        minutes = [60 * int(date["hour"] or 0) + int(date["minute"] or 0) for date in dates]
        turns.append(np.array(minutes, np.float32) / np.float32(1440))
    parts = [(days - np.float32(column.mean)) / np.float32(column.std)]
    parts += [wave(full * turn) for turn in turns for wave in (np.sin, np.cos)]
    return _beside(column, [np.where(missing, np.float32(0), part) for part in parts], missing)


def _beside(column: Column, parts: list[np.ndarray], missing: np.ndarray) -> np.ndarray:
    """Returns parts side by side, and whether the cell is missing if training rows lack some."""
    parts = [*parts, *([missing] if column.missing else [])]
    return np.stack(parts, axis=1).astype(np.float32)
