"""Batches of arrays in memory, in tuples and dictionaries of any depth, including text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ban_tf.errors import InputError


class Slices(keras.utils.PyDataset):
    """Batches of arrays in memory, in tuples and dictionaries of any depth.

    Args:
        given: Inputs, labels and sample weights; the latter two may be None.
        batch_size: The number of rows in a batch.
        shuffle: Whether rows are shuffled in each epoch, by NumPy's global random state.
    """

    def __init__(self, given: tuple, batch_size: int, shuffle: bool):
        super().__init__()
        self._given, self._batch_size, self._shuffle = as_arrays(given), batch_size, shuffle
        counts = {len(array) if array.ndim else None for array in leaves(self._given)}
        count = counts.pop() if len(counts) == 1 else None
        if count is None:
            raise InputError(
                "`x` must be arrays or lists of as many examples as `y` and `sample_weight` have, "
                "a tf.data.Dataset, a keras.utils.PyDataset or a generator, as the model prepares "
                f"its own input. Received: {type(given[0]).__name__}"
            )
        self._order = np.arange(count)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> Any:
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        return map_arrays(self._given, lambda array: array[rows])

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        if self._shuffle:
            np.random.shuffle(self._order)


def map_arrays(structure: Any, function: Callable[[Any], Any]) -> Any:
    """Maps a function over arrays; a list counts as an array, as in `tf.data`; None stays None."""
    if isinstance(structure, tuple):
        items = [map_arrays(item, function) for item in structure]
        return type(structure)(*items) if hasattr(structure, "_fields") else tuple(items)
    if isinstance(structure, dict):
        return {key: map_arrays(item, function) for key, item in structure.items()}
    return None if structure is None else function(structure)


def leaves(structure: Any) -> list[Any]:
    """Returns the arrays of a structure."""
    found: list[Any] = []
    map_arrays(structure, found.append)
    return found


def as_arrays(structure: Any) -> Any:
    """Converts lists, tensors and data frames to NumPy arrays."""
    return map_arrays(structure, np.asarray)


def is_text(array: Any) -> bool:
    """Returns whether an array contains strings."""
    return isinstance(array, np.ndarray) and array.dtype.kind in "USO"


def as_text(structure: Any) -> Any:
    """Returns text as lists of Python strings, for preprocessors."""

    def decoded(item: Any) -> Any:
        if isinstance(item, list):
            return [decoded(inner) for inner in item]
        return item.decode() if isinstance(item, bytes) else item

    return map_arrays(structure, lambda array: decoded(array.tolist()) if is_text(array) else array)


def as_fed(structure: Any) -> Any:
    """Returns arrays for Keras; text for a model without a preprocessor becomes tensors."""
    structure = as_arrays(structure)
    if not any(map(is_text, leaves(structure))):
        return structure
    import tensorflow as tf  # has a dtype for text

    return map_arrays(structure, tf.convert_to_tensor)
