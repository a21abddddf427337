"""Batches of examples in memory of any kind: shuffled for training, in order for evaluation.

`pipeline` does the same for images, which have views and normalization. Shuffling depends on (seed,
epoch) alone, so that batches from any step on equal those of an uninterrupted training. Under
TensorFlow batches are a `tf.data.Dataset`, otherwise `NumpyBatches` of the same content.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from ban_tf.datasets import batch_sizes, numpy_batches, stateless_random
from ban_tf.datasets.numpy_batches import NumpyBatches

_AHEAD = 2  # batches created in parallel, and as many prefetched


class Examples(NamedTuple):
    """A part of the data.

    Attributes:
        inputs: An array `[examples, ...]`, or a dictionary of such.
        labels: An array `[examples, ...]`.
        names: The name of each example, such as its file; None if they have none.
    """

    inputs: Any
    labels: np.ndarray
    names: tuple[str, ...] | None = None

    def select(self, chosen: np.ndarray) -> Examples:
        """Returns some of the examples, given indices or booleans."""
        inputs = _rows(self.inputs, chosen)
        names = self.names and tuple(np.array(self.names, dtype=object)[chosen])
        return Examples(inputs, self.labels[chosen], names)


def steps_per_epoch(examples: Examples, batch_size: int) -> int:
    """Returns the number of full batches in an epoch.

    Raises:
        InputError: There are fewer examples than in a batch.
    """
    return batch_sizes.full_batches(len(examples.labels), batch_size)


def training_batches(
    examples: Examples,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    first_step: int = 0,
    change: Callable[[Any, Any, Any, Any], tuple[Any, Any]] | None = None,
    num_shards: int = 1,
    shard_range: range = range(1),
) -> Any:
    """Returns the batches of an endless training from a step on.

    Args:
        examples: The training examples.
        batch_size: Examples in a batch; the remainder of an epoch's permutation is dropped.
        seed: The seed of shuffling.
        first_epoch: The first epoch.
        first_step: The first step of that epoch.
        change: Returns the inputs and labels of a batch as they are trained on, such as augmented
            ones, given the epoch (scalar), the indices of the examples `[batch]`, and both: tensors
            under TensorFlow, otherwise NumPy's.
        num_shards: How many replicas share each batch; they must divide it.
        shard_range: Which of these shards to yield, one after the other.

    Returns:
        Batches of (inputs, labels).

    Raises:
        InputError: There are fewer examples than in a batch.
    """
    steps = steps_per_epoch(examples, batch_size)
    count = len(examples.labels)
    if keras.backend.backend() != "tensorflow":
        start = first_epoch * steps + first_step
        share = functools.partial(
            numpy_batches.part, num_shards=num_shards, shard_range=shard_range
        )
        return _shuffled(examples, steps, batch_size, seed, start, change, share)
    import tensorflow as tf

    from ban_tf.compat import iterators

    with tf.device("cpu"):
        inputs = tf.nest.map_structure(tf.constant, examples.inputs)
        labels = tf.constant(examples.labels)

    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), seed=tf.stack([tf.constant(seed, tf.int64), epoch])
        )
        shared = tf.reshape(order[: steps * batch_size], [steps, num_shards, -1])
        shared = shared[:, shard_range.start : shard_range.stop]
        rows = tf.reshape(shared, [steps * len(shard_range), batch_size // num_shards])
        return tf.data.Dataset.from_tensor_slices((tf.fill([tf.shape(rows)[0]], epoch), rows))

    def batch(epoch: tf.Tensor, chosen: tf.Tensor) -> tuple[Any, Any]:
        picked = tf.nest.map_structure(lambda array: tf.gather(array, chosen), inputs)
        targets = tf.gather(labels, chosen)
        return (picked, targets) if change is None else change(epoch, chosen, picked, targets)

    traced = tf.autograph.experimental.do_not_convert  # as conversion takes longer than tracing
    indices = tf.data.Dataset.range(first_epoch, 2**31).flat_map(traced(shuffled))
    indices = indices.skip(first_step * len(shard_range))
    batches = indices.map(traced(batch), _AHEAD, deterministic=True).prefetch(_AHEAD)
    return iterators.untuned(batches)


def _shuffled(
    examples: Examples,
    steps: int,
    batch_size: int,
    seed: int,
    start: int,
    change: Callable[[Any, Any, Any, Any], tuple[Any, Any]] | None,
    share: Callable[[np.ndarray], np.ndarray],
) -> NumpyBatches:
    """Returns `training_batches` from a step of the whole training on, in NumPy."""

    @functools.lru_cache(maxsize=2)  # the epoch before is still read when the next begins
    def order(epoch: int) -> np.ndarray:
        return stateless_random.permutation(len(examples.labels), (seed, epoch))

    def batch(number: int) -> tuple[Any, Any]:
        epoch, step = divmod(start + number, steps)
        chosen = share(order(epoch)[step * batch_size : (step + 1) * batch_size])
        picked, targets = _rows(examples.inputs, chosen), examples.labels[chosen]
        return (picked, targets) if change is None else change(epoch, chosen, picked, targets)

    return NumpyBatches(batch, None)


def _rows(inputs: Any, chosen: np.ndarray | slice) -> Any:
    return keras.tree.map_structure(lambda array: array[chosen], inputs)


def evaluation_batches(examples: Examples, batch_size: int) -> Any:
    """Returns all examples in order as (inputs, labels); the last batch may be smaller."""
    if keras.backend.backend() != "tensorflow":
        given = (examples.inputs, examples.labels)
        count = -(-len(keras.tree.flatten(examples.labels)[0]) // batch_size)
        return NumpyBatches(
            lambda number: _rows(given, slice(number * batch_size, (number + 1) * batch_size)),
            count,
        )
    import tensorflow as tf

    from ban_tf.compat import iterators

    data = tf.data.Dataset.from_tensor_slices((examples.inputs, examples.labels))
    return iterators.untuned(data.batch(batch_size).prefetch(_AHEAD))
