"""Batches of NumPy arrays by number: what `tf.data.Dataset` is under other backends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras


class NumpyBatches(keras.utils.PyDataset):
    """Batches that are computed when they are read, any of them at any time.

    Args:
        batch: Returns a batch by its number, from 0: an array, or a tuple as `fit` takes it.
        count: How many there are; None if there is no end.
    """

    def __init__(self, batch: Callable[[int], Any], count: int | None):
        super().__init__()
        self._batch, self._count = batch, count

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None if there is no end."""
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self._batch(index)

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while self._count is None or index < self._count:
            yield self._batch(index)
            index += 1

    def map(self, change: Callable[..., Any]) -> NumpyBatches:
        """Returns the batches that a function makes of these, given the parts of each."""

        def changed(index: int) -> Any:
            batch = self._batch(index)
            return change(*batch) if isinstance(batch, tuple) else change(batch)

        return NumpyBatches(changed, self._count)
