"""Random crops of random size and shape, brought back to the size of the image, and flips.

The usual augmentation of photographs (Szegedy et al., 2015, "Going deeper with convolutions"). As
in `augmentation`, drawing is separate from applying.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

SCALE = (0.35, 1.0)  # of the area
RATIO = (3 / 4, 4 / 3)  # of width to height, in units of those of the image
_ATTEMPTS = 10


class Crop(NamedTuple):
    """Random draws for each image.

    Attributes:
        top: The first row of the crop, float32 `[batch]`, in 0..1 of the image.
        left: The first column.
        height: The height, in (0, 1].
        width: The width.
        flip: Whether it is flipped, int32 `[batch]` in 0..1.
    """

    top: tf.Tensor
    left: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    flip: tf.Tensor


def draw(batch_size: int, seed: tf.Tensor) -> Crop:
    """Draws crops and flips from a seed, int32 `[2]`.

    Area and the logarithm of the ratio are uniform; what would not fit into the image is drawn
    again, up to ten times.
    """
    seeds = tf.random.split(seed, 5)
    several = [batch_size, _ATTEMPTS]
    area = tf.random.stateless_uniform(several, seeds[0], *SCALE)
    ratio = tf.exp(tf.random.stateless_uniform(several, seeds[1], *map(math.log, RATIO)))
    heights, widths = tf.sqrt(area / ratio), tf.sqrt(area * ratio)
    # The first that fits; if none does, the first one, clipped.
    first = tf.argmax(tf.maximum(heights, widths) <= 1.0, axis=1)
    height, width = (
        tf.minimum(tf.gather(sizes, first, batch_dims=1), 1.0) for sizes in (heights, widths)
    )
    top = tf.random.stateless_uniform([batch_size], seeds[2]) * (1.0 - height)
    left = tf.random.stateless_uniform([batch_size], seeds[3]) * (1.0 - width)
    flip = tf.random.stateless_uniform([batch_size], seeds[4], 0, 2, tf.int32)
    return Crop(top, left, height, width, flip)


def apply(images: tf.Tensor, crop: Crop) -> tf.Tensor:
    """Crops each image as drawn, to its own size by bilinear interpolation, and flips it.

    Corners are aligned: a crop of the whole image is the image.

    Args:
        images: uint8 `[batch, height, width, channels]`.
        crop: One entry per image.

    Returns:
        Images of the same shape and type.
    """
    return tf.cast(tf.round(_cropped(images, crop, "bilinear")), tf.uint8)


def apply_to_masks(masks: tf.Tensor, crop: Crop) -> tf.Tensor:
    """Crops each mask as its image; a pixel has the class of the nearest one.

    Args:
        masks: uint8 `[batch, height, width, 1]`.
        crop: One entry per mask.

    Returns:
        Masks of the same shape and type.
    """
    return tf.cast(_cropped(masks, crop, "nearest"), tf.uint8)


def _cropped(images: tf.Tensor, crop: Crop, method: str) -> tf.Tensor:
    flip = crop.flip == 1
    right = crop.left + crop.width
    # A box whose left edge is its right one is mirrored.
    boxes = [
        crop.top,
        tf.where(flip, right, crop.left),
        crop.top + crop.height,
        tf.where(flip, crop.left, right),
    ]
    # Outside of the image by rounding alone, which would be black.
    boxes = tf.clip_by_value(tf.stack(boxes, axis=1), 0.0, 1.0)
    rows = tf.range(tf.shape(images)[0])
    return tf.image.crop_and_resize(images, boxes, rows, images.shape[1:3], method=method)
