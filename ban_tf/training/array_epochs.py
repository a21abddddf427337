"""Arrays as an endless stream of one epoch after another, in an order that follows from a seed.

Keras shuffles arrays by random states of the process: one seed gives another order in another
process and on another backend, and an interrupted training continues with other batches. Here the
order depends on a seed and the turn through the arrays alone, which is the epoch unless that has
fewer steps, so that training also resumes within an epoch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from ban_tf.compat import weighting
from ban_tf.compat.array_batches import is_text
from ban_tf.distillation import teachers
from ban_tf.distillation.data_checks import as_array
from ban_tf.system import seeds

_OF_ARRAYS = ("y", "sample_weight", "batch_size", "shuffle")


class ArrayEpochs:
    """Arrays in memory, as data for each epoch of a training.

    Args:
        arrays: Inputs, labels and sample weights as for a `keras.utils.PyDataset`, all arrays
            `[examples, ...]`.
        shuffle: As for `fit`.
        batch_size: Examples of a batch.
        steps: Batches of an epoch.
    """

    def __init__(self, arrays: Any, shuffle: bool | str, batch_size: int, steps: int):
        self._arrays, self._shuffle, self._batch_size = arrays, shuffle, batch_size
        self._count = len(keras.tree.flatten(arrays)[0])
        self.steps = steps
        self._in_all = math.ceil(self._count / batch_size)
        self._last: tuple[tuple[int, int], np.ndarray] | None = None  # the order of a turn

    def batches(self, seed: int, epoch: int, step: int) -> keras.utils.PyDataset:
        """Returns the batches of a training from a step on, without end.

        Args:
            seed: The seed of the training.
            epoch: The number of completed epochs.
            step: The number of completed steps of the epoch.
        """
        return _Batches(self, seed, epoch * self.steps + step)

    def batch(self, seed: int, number: int) -> Any:
        """Returns one batch of a training, counted from its start.

        Epochs of fewer steps continue where the last one ended, as in Keras. Real numbers have the
        precision that Keras gives them in arrays.
        """
        turn, step = divmod(number, self._in_all)
        rows = self._order_of(seed, turn)[step * self._batch_size : (step + 1) * self._batch_size]
        return keras.tree.map_structure(lambda array: _fed(array[rows]), self._arrays)

    def _order_of(self, seed: int, turn: int) -> np.ndarray:
        """Returns all rows in the order of one turn through them."""
        known = self._last
        if known is None or known[0] != (seed, turn):
            generator = np.random.default_rng(seeds.derive_seed(seed, turn))
            known = self._last = ((seed, turn), self._order(generator))
        return known[1]

    def _order(self, generator: np.random.Generator) -> np.ndarray:
        rows = np.arange(self._count)
        if not self._shuffle:
            return rows
        if not isinstance(self._shuffle, str):
            return generator.permutation(rows)
        parts = np.split(rows, rows[:: self._batch_size][1:])  # "batch": within the batches
        return np.concatenate([generator.permutation(part) for part in parts])


def separate(x: Any, fit: Mapping[str, Any]) -> tuple[ArrayEpochs | None, dict[str, Any]]:
    """Separates the arrays of `fit` from its other arguments.

    Args:
        x: As for `fit`.
        fit: Further arguments of `fit`.

    Returns:
        The arrays, and the other arguments; None and `fit` where something else is given, or
        arrays that Keras refuses.
    """
    y = fit.get("y")
    weights = weighting.beside(fit.get("sample_weight"), y, teachers.is_recorded(y))
    given = keras.utils.pack_x_y_sample_weight(x, y, weights)
    flat = [as_array(part) for part in keras.tree.flatten(given)]
    counts = {len(array) if array is not None and array.ndim else 0 for array in flat}
    count, steps = min(counts, default=0), fit.get("steps_per_epoch")
    if not count or len(counts) > 1:
        return None, dict(fit)
    # As Keras chooses it.
    batch_size = fit.get("batch_size") or (math.ceil(count / steps) if steps else 32)
    most = math.ceil(count / batch_size)
    if steps is not None and steps > most:
        return None, dict(fit)
    arrays = keras.tree.pack_sequence_as(keras.tree.lists_to_tuples(given), flat)
    epochs = ArrayEpochs(arrays, fit.get("shuffle", True), batch_size, steps or most)
    others = {name: value for name, value in fit.items() if name not in _OF_ARRAYS}
    if fit.get("batch_size"):  # as Keras does
        others["validation_batch_size"] = fit.get("validation_batch_size") or batch_size
    # The stream is in order already.
    return epochs, {**others, "steps_per_epoch": epochs.steps, "shuffle": False}


def batches_of(
    number: int, x: Any, arrays: ArrayEpochs | None, seed: int
) -> Callable[[int, int], Any]:
    """Returns the data of a generation, given the completed epochs and steps.

    Args:
        number: The generation's number.
        x: As for `Lineage.fit`.
        arrays: The arrays in `x`, if `separate` found any.
        seed: The seed of the lineage.
    """
    if arrays is not None:
        return functools.partial(arrays.batches, seeds.derive_seed(seed, "order", number))
    return functools.partial(x, number) if callable(x) else lambda epoch, step: x


def ending(
    batches: Callable[[int, int], Any], steps: int | None, at_once: int
) -> Callable[[int, int], Any]:
    """Returns data of arrays that ends with each epoch, if Keras would read beyond its end.

    An execution of several steps takes as many batches from a stream, also where fewer are left of
    the epoch.

    Args:
        batches: Returns data, given the completed epochs and steps.
        steps: Batches of an epoch.
        at_once: `steps_per_execution`.
    """
    if at_once == 1 or steps is None:
        return batches

    def load(epoch: int, step: int) -> Any:
        data = batches(epoch, step)
        return data.until(steps - step) if isinstance(data, _Batches) else data

    return load


class _Batches(keras.utils.PyDataset):
    """The batches of a training from one on, without end unless there is a `count`."""

    def __init__(self, epochs: ArrayEpochs, seed: int, first: int, count: int | None = None):
        super().__init__()
        self._epochs, self._seed, self._first, self._count = epochs, seed, first, count

    def until(self, count: int) -> _Batches:
        """Returns the first of these batches."""
        return _Batches(self._epochs, self._seed, self._first, count)

    @property
    def num_batches(self) -> int | None:
        """How many there are; None if there is no end."""
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self._epochs.batch(self._seed, self._first + index)


def _fed(array: np.ndarray) -> Any:
    """Returns an array as Keras takes it: text as a tensor, since NumPy's has no dtype there."""
    if is_text(array):
        import tensorflow as tf

        return tf.convert_to_tensor(array)
    return array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array
