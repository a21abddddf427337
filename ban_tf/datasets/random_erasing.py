"""Erases a random rectangle of some images (Zhong et al., 2020, "Random erasing")."""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

PROBABILITY = 0.25
AREA = (0.02, 0.33)  # of the image
RATIO = (0.3, 1 / 0.3)  # of width to height, in units of those of the image


class Erasure(NamedTuple):
    """Random draws for each image.

    Attributes:
        erased: Whether it is erased, bool `[batch]`.
        top: The first row of the rectangle, float32 `[batch]`, in 0..1 of the image.
        left: The first column.
        height: The height, in (0, 1].
        width: The width.
        level: The gray that fills the rectangle, uint8 `[batch]`.
    """

    erased: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    level: tf.Tensor


def draw(batch_size: int, seed: tf.Tensor) -> Erasure:
    """Draws rectangles from a seed, int32 `[2]`; those that are too long are clipped."""
    seeds, size = tf.random.split(seed, 6), [batch_size]
    erased = tf.random.stateless_uniform(size, seeds[0]) < PROBABILITY
    area = tf.random.stateless_uniform(size, seeds[1], *AREA)
    ratio = tf.exp(tf.random.stateless_uniform(size, seeds[2], *map(math.log, RATIO)))
    height = tf.minimum(tf.sqrt(area / ratio), 1.0)
    width = tf.minimum(tf.sqrt(area * ratio), 1.0)
    top = tf.random.stateless_uniform(size, seeds[3]) * (1.0 - height)
    left = tf.random.stateless_uniform(size, seeds[4]) * (1.0 - width)
    level = tf.random.stateless_uniform(size, seeds[5], 0, 256, tf.int32)
    return Erasure(erased, top, left, height, width, tf.cast(level, tf.uint8))


def apply(images: tf.Tensor, erasure: Erasure) -> tf.Tensor:
    """Erases the pixels whose centers are in the rectangle of their image.

    Args:
        images: uint8 `[batch, height, width, channels]`.
        erasure: One entry per image.

    Returns:
        Images of the same shape and type.
    """
    _, height, width, _ = images.shape
    rows = _inside(erasure.top, erasure.height, height)
    columns = _inside(erasure.left, erasure.width, width)
    inside = rows[:, :, None] & columns[:, None, :] & erasure.erased[:, None, None]
    return tf.where(inside[..., None], erasure.level[:, None, None, None], images)


def _inside(first: tf.Tensor, extent: tf.Tensor, size: int) -> tf.Tensor:
    """Returns which rows, or columns, are inside, bool `[batch, size]`."""
    centers = (tf.range(size, dtype=tf.float32) + 0.5) / size
    return (centers >= first[:, None]) & (centers < (first + extent)[:, None])
