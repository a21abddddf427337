"""Random brightness, contrast and saturation (Krizhevsky et al., 2012, and many since)."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from ban_tf.datasets import pixels

STRENGTH = 0.3  # factors are drawn from 1 - STRENGTH to 1 + STRENGTH


class Jitter(NamedTuple):
    """Random factors for each image, float32 `[batch]`; one changes nothing."""

    brightness: tf.Tensor
    contrast: tf.Tensor
    saturation: tf.Tensor


def draw(batch_size: int, seed: tf.Tensor) -> Jitter:
    """Draws factors from a seed, int32 `[2]`."""
    low, high = 1.0 - STRENGTH, 1.0 + STRENGTH
    seeds = tf.random.split(seed, 3)
    return Jitter(
        *(
            tf.random.stateless_uniform([batch_size], seeds[index], low, high)
            for index in range(len(Jitter._fields))
        )
    )


def apply(images: tf.Tensor, jitter: Jitter) -> tf.Tensor:
    """Changes brightness, contrast and saturation of each image as drawn.

    Brightness is a factor of all values, contrast of their difference from the mean gray of the
    image, saturation of their difference from the gray of the pixel. Only the result is clipped.

    Args:
        images: uint8 `[batch, height, width, channels]`.
        jitter: One entry per image.

    Returns:
        Images of the same shape and type. Images of one channel have no saturation.
    """
    values = tf.cast(images, tf.float32)
    gray = pixels.gray(values)
    mean = tf.reduce_mean(gray, axis=(1, 2), keepdims=True)
    factor = pixels.per_image(jitter.brightness * jitter.contrast)
    saturation = pixels.per_image(jitter.saturation)
    # The parts of pixel, its gray and the mean, which add up to the brightness.
    rest = factor * (1.0 - saturation) * gray
    rest += pixels.per_image(jitter.brightness * (1.0 - jitter.contrast)) * mean
    return pixels.to_bytes(factor * saturation * values + rest)
