"""Mixup: mixes each example of a batch with another one (Zhang et al., 2018).

Mixing is part of the data, so that teacher and student get the same images: a consistent teacher
(Beyer et al., 2022, "Knowledge distillation: a good teacher is patient and consistent"). Draws
depend on (seed, step), as for other augmentation.
"""

from __future__ import annotations

import tensorflow as tf


def mix(
    images: tf.Tensor, labels: tf.Tensor, num_classes: int, alpha: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes each example with the one at the mirrored position of the batch.

    Args:
        images: float32 `[batch, ...]`, shuffled.
        labels: Integers `[batch]`.
        num_classes: The number of classes.
        alpha: Weights are drawn from Beta(alpha, alpha), one per example.
        seed: int32 `[2]`.

    Returns:
        Mixed images, and labels as distributions, float32 `[batch, classes]`.
    """
    batch = tf.shape(images)[0]
    # A Beta variate is X / (X + Y) of two Gamma variates, and Gamma(alpha) is Gamma(alpha + 1)
    # times a uniform variate to the power of 1 / alpha: in logarithms nothing underflows.
    seeds = tf.random.split(seed, 2)
    gamma = tf.random.stateless_gamma([2, batch], seeds[0], alpha + 1.0)
    uniform = 1.0 - tf.random.stateless_uniform([2, batch], seeds[1])
    logs = tf.math.log(gamma) + tf.math.log(uniform) / alpha
    share = tf.sigmoid(logs[0] - logs[1])
    one_hot = tf.one_hot(labels, num_classes)
    return _blend(images, share), _blend(one_hot, share)


def _blend(values: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    share = tf.reshape(share, [-1] + [1] * (len(values.shape) - 1))
    return share * values + (1.0 - share) * values[::-1]


def mixed_batches(
    batches: tf.data.Dataset,
    num_classes: int,
    alpha: float,
    seed: int,
    first_step: int = 0,
    *,
    num_shards: int = 1,
    shard_range: range = range(1),
) -> tf.data.Dataset:
    """Mixes every batch of a dataset.

    Args:
        batches: (images, labels) as for `mix`, of all replicas.
        num_classes: The number of classes.
        alpha: See `mix`.
        seed: The seed of the draws.
        first_step: The step of the whole training with which the dataset starts.
        num_shards: How many replicas share each batch; they must divide it.
        shard_range: Which of these shards to yield, one after the other.
    """

    def blend(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        draws = tf.cast(tf.stack([tf.constant(seed, tf.int64), step]), tf.int32)
        return mix(*batch, num_classes, alpha, draws)

    def some(*batch: tf.Tensor) -> tf.data.Dataset:
        cut = [
            tf.stack(tf.split(part, num_shards)[shard_range.start : shard_range.stop])
            for part in batch
        ]
        return tf.data.Dataset.from_tensor_slices(tuple(cut))

    mixed = batches.enumerate(first_step).map(blend, tf.data.AUTOTUNE, deterministic=True)
    return mixed if num_shards == 1 else mixed.flat_map(some).prefetch(2 * len(shard_range))
