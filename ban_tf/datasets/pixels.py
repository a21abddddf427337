"""Arithmetic of images that several augmentations share."""

from __future__ import annotations

import tensorflow as tf

from ban_tf.datasets.policies import LUMA


def gray(images: tf.Tensor) -> tf.Tensor:
    """Returns the brightness of each pixel, `[batch, height, width, 1]`.

    Args:
        images: float32 `[batch, height, width, channels]`; of three channels red, green and blue,
            otherwise their mean.
    """
    if images.shape[-1] != 3:
        return tf.reduce_mean(images, axis=-1, keepdims=True)
    return tf.matmul(images, tf.constant(LUMA, shape=[1, 3, 1]))


def blend(images: tf.Tensor, others: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Returns `others + share * (images - others)`, in float32.

    Args:
        images: float32 `[batch, height, width, channels]`.
        others: Likewise, or of a shape that is broadcast to it.
        share: float32 `[batch]`; above one, the difference is exaggerated.
    """
    return others + per_image(share) * (images - others)


def per_image(values: tf.Tensor) -> tf.Tensor:
    """Returns values `[batch]` as `[batch, 1, 1, 1]`."""
    return values[:, None, None, None]


def to_bytes(images: tf.Tensor) -> tf.Tensor:
    """Returns images of floats as uint8, rounded and clipped."""
    return tf.cast(tf.round(tf.clip_by_value(images, 0.0, 255.0)), tf.uint8)
