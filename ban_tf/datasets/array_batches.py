"""Batches of arrays in memory, shuffled by seed and epoch, from any step on.

The order is that of `pipeline.training_batches`: it depends on the seed and the epoch alone, so
that a training resumed at any step equals an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ban_tf.compat import iterators
from ban_tf.errors import InputError

_EPOCHS = 2**31  # unlimited: a generation keeps its recorded number
_AHEAD = 2  # prefetched batches


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Returns the number of full batches in an epoch.

    Raises:
        InputError: There are fewer examples than in a batch.
    """
    if batch_size > examples:
        raise InputError(
            f"--batch_size={batch_size} is more than the {examples} training examples; choose a "
            "smaller batch."
        )
    return examples // batch_size


def training_batches(
    arrays: Sequence[np.ndarray],
    *,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    first_step: int = 0,
    num_shards: int = 1,
    shard_range: range = range(1),
) -> tf.data.Dataset:
    """Returns shuffled batches without end, from a step on.

    Args:
        arrays: `[examples, ...]` each, such as inputs and labels.
        batch_size: Examples in a batch; the remainder of an epoch's permutation is dropped.
        seed: The seed of shuffling.
        first_epoch: The first epoch.
        first_step: The first step of that epoch.
        num_shards: How many replicas share each batch; they must divide it.
        shard_range: Which of these shards to yield, one after the other.

    Returns:
        A dataset of tuples, `[batch, ...]` each.

    Raises:
        InputError: There are fewer examples than in a batch.
    """
    examples = len(arrays[0])
    steps, local = steps_per_epoch(examples, batch_size), len(shard_range)
    tensors = [tf.constant(array) for array in arrays]

    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(examples), seed=tf.stack([tf.constant(seed, tf.int64), epoch])
        )
        order = tf.reshape(order[: steps * batch_size], [steps, num_shards, -1])
        order = order[:, shard_range.start : shard_range.stop]
        return tf.data.Dataset.from_tensor_slices(
            tf.reshape(order, [steps * local, batch_size // num_shards])
        )

    indices = tf.data.Dataset.range(first_epoch, _EPOCHS).flat_map(shuffled)
    batches = indices.skip(first_step * local).map(
        lambda chosen: tuple(tf.gather(tensor, chosen) for tensor in tensors)
    )
    return iterators.untuned(batches.prefetch(_AHEAD))


def evaluation_batches(arrays: Sequence[np.ndarray], batch_size: int) -> tf.data.Dataset:
    """Returns all examples in order; the last batch may be smaller.

    Args:
        arrays: As for `training_batches`.
        batch_size: Examples in a batch.
    """
    tensors = tuple(tf.constant(array) for array in arrays)
    return iterators.untuned(tf.data.Dataset.from_tensor_slices(tensors).batch(batch_size))
