"""Batches of NumPy arrays by number: what `tf.data.Dataset` is under other backends.

While a step computes, a thread prepares the batch that follows, so that a device does not wait for
its input. One thread prepares all batches of a data set, in the order in which they are requested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import keras


def part(rows: Any, num_shards: int, shard_range: range) -> Any:
    """Returns shards of an array `[batch, ...]`, one after the other.

    Args:
        rows: The array, of NumPy or of the backend.
        num_shards: How many share it; they must divide it.
        shard_range: Which of these shards to return.
    """
    size = len(rows) // num_shards
    return rows[shard_range.start * size : shard_range.stop * size]


class NumpyBatches(keras.utils.PyDataset):
    """Batches that are computed when they are read, any of them at any time.

    Args:
        batch: Returns a batch by its number, from 0: an array, or a tuple as `fit` takes it.
        count: How many there are; None if there is no end.
    """

    def __init__(self, batch: Callable[[int], Any], count: int | None):
        super().__init__()
        self._batch, self._count = batch, count
        # Its thread ends with this object, and does not keep it.
        self._preparing = futures.ThreadPoolExecutor(1, "batches")
        self._following: tuple[int, futures.Future[Any]] | None = None

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None if there is no end."""
        return self._count

    def __getitem__(self, index: int) -> Any:
        known, self._following = self._following, None
        if known is None or known[0] != index:
            known = index, self._preparing.submit(self._batch, index)
        batch = known[1].result()
        following = index + 1
        if self._count is None or following < self._count:
            self._following = following, self._preparing.submit(self._batch, following)
        return batch

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while self._count is None or index < self._count:
            yield self[index]
            index += 1

    def map(self, change: Callable[..., Any]) -> NumpyBatches:
        """Returns the batches that a function makes of these, given the parts of each."""

        def changed(index: int) -> Any:
            batch = self._batch(index)
            return change(*batch) if isinstance(batch, tuple) else change(batch)

        return NumpyBatches(changed, self._count)
