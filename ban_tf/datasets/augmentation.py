"""Random crops and flips for a whole batch at once.

The usual augmentation of CIFAR (Zagoruyko & Komodakis, 2016): each image is padded by four pixels
of reflection, randomly cropped to its size, and flipped with probability one half. Drawing is
separate from applying, so that a view can be repeated.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from ban_tf.datasets import policies
from ban_tf.datasets.policies import PADDING


class Augmentation(NamedTuple):
    """Random draws for each image: int32 offsets in 0..8 and flips in 0..1, all `[batch]`."""

    down: tf.Tensor
    right: tf.Tensor
    flip: tf.Tensor


def draw(batch_size: int, seed: tf.Tensor) -> Augmentation:
    """Draws crops and flips from a seed, int32 `[2]`."""
    seeds = tf.random.split(seed, 3)
    bounds = (2 * PADDING + 1, 2 * PADDING + 1, 2)
    return Augmentation(
        *(
            tf.random.stateless_uniform([batch_size], seeds[index], 0, bound, tf.int32)
            for index, bound in enumerate(bounds)
        )
    )


def apply(images: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Crops and flips each image as drawn.

    Args:
        images: `[batch, height, width, channels]` of any type.
        augmentation: One entry per image.

    Returns:
        Images of the same shape and type.

    Raises:
        InputError: The images are too small to be padded by reflection.
    """
    _, height, width, channels = images.shape
    policies.check_crop(height, width)
    # Reflected indices need no padded copy; one gather of whole pixels crops and flips.
    rows = _reflect(tf.range(height) + augmentation.down[:, None] - PADDING, height)
    columns = _reflect(tf.range(width) + augmentation.right[:, None] - PADDING, width)
    columns = tf.where(augmentation.flip[:, None] == 1, columns[:, ::-1], columns)
    pixels = rows[:, :, None] * width + columns[:, None, :]
    flat = tf.reshape(images, [-1, height * width, channels])
    return tf.gather(flat, pixels, batch_dims=1)


def apply_to_masks(masks: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Crops and flips each mask `[batch, height, width, 1]` as its image."""
    return apply(masks, augmentation)


def _reflect(index: tf.Tensor, size: int) -> tf.Tensor:
    return (size - 1) - tf.abs((size - 1) - tf.abs(index))
