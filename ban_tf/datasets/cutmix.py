"""CutMix: pastes a rectangle of another example into each one (Yun et al., 2019)."""

from __future__ import annotations

import tensorflow as tf

from ban_tf.datasets import mixup


def cut(
    images: tf.Tensor, labels: tf.Tensor, num_classes: int, alpha: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pastes into each example a rectangle of the one at the mirrored position of the batch.

    The rectangle has the shape of the image and a center anywhere; what lies outside is cut off.

    Args:
        images: float32 `[batch, height, width, channels]`, shuffled.
        labels: Integers `[batch]`.
        num_classes: The number of classes.
        alpha: The area of the rectangle is drawn from Beta(alpha, alpha), one per example.
        seed: int32 `[2]`.

    Returns:
        Mixed images, and labels as distributions, float32 `[batch, classes]`, by the number of
        pixels.
    """
    batch = tf.shape(images)[0]
    seeds = tf.random.split(seed, 3)
    extent = tf.sqrt(mixup.shares(batch, alpha, seeds[0]))
    rows = _inside(extent, images.shape[1], seeds[1])
    columns = _inside(extent, images.shape[2], seeds[2])
    inside = rows[:, :, None] & columns[:, None, :]
    kept = 1.0 - tf.reduce_mean(tf.cast(inside, tf.float32), axis=(1, 2))
    mixed = tf.where(inside[..., None], images[::-1], images)
    return mixed, mixup.blend(tf.one_hot(labels, num_classes), kept)


def _inside(extent: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns which rows, or columns, are inside, bool `[batch, size]`."""
    middle = tf.random.stateless_uniform(tf.shape(extent), seed)
    centers = (tf.range(size, dtype=tf.float32) + 0.5) / size
    return tf.abs(centers - middle[:, None]) < extent[:, None] / 2.0
