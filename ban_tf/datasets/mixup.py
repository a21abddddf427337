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
    share = shares(tf.shape(images)[0], alpha, seed)
    return blend(images, share), blend(tf.one_hot(labels, num_classes), share)


def shares(batch: tf.Tensor, alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Draws from Beta(alpha, alpha), float32 `[batch]`."""
    # A Beta variate is X / (X + Y) of two Gamma variates, and Gamma(alpha) is Gamma(alpha + 1)
    # times a uniform variate to the power of 1 / alpha: in logarithms nothing underflows.
    seeds = tf.random.split(seed, 2)
    gamma = tf.random.stateless_gamma([2, batch], seeds[0], alpha + 1.0)
    uniform = 1.0 - tf.random.stateless_uniform([2, batch], seeds[1])
    logs = tf.math.log(gamma) + tf.math.log(uniform) / alpha
    return tf.sigmoid(logs[0] - logs[1])


def blend(values: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Returns the share of each value `[batch, ...]`, and the rest of the mirrored one."""
    share = tf.reshape(share, [-1] + [1] * (len(values.shape) - 1))
    return share * values + (1.0 - share) * values[::-1]
