"""TrivialAugment: one random operation of random strength for each image.

Müller & Hutter, 2021, "TrivialAugment: tuning-free yet state-of-the-art data augmentation", with
the operations and ranges of RandAugment (Cubuk et al., 2020), which are milder than the wide ones.
Results are those of Pillow, up to rounding, except for pixels from outside of the image, which are
gray.

Operations are of three kinds, each a single computation for all images that drew one of its kind:
tables of the new value of each value, blends with a changed image, and affine maps.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from ban_tf.datasets import pixels

# The order of the operations is part of `pipeline.VIEW_FORMAT`.
TABLES = ("brightness", "contrast", "posterize", "solarize", "autocontrast", "equalize")
BLENDS = ("color", "sharpness")
MAPS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
OPERATIONS = ("identity", *TABLES, *BLENDS, *MAPS)

LARGEST_FACTOR = 0.9  # of brightness, contrast, color and sharpness, beside one
LARGEST_ANGLE = math.radians(30)
LARGEST_SHEAR = 0.3
LARGEST_SHIFT = 0.3  # of height or width
LEAST_BITS = 4  # of eight that posterizing keeps
FILL = 128.0  # outside of the image
VOID = 255.0  # outside of a mask

# Pillow's `ImageFilter.SMOOTH`.
_SMOOTH = ((1, 1, 1), (1, 5, 1), (1, 1, 1))


class Drawn(NamedTuple):
    """Random draws for each image.

    Attributes:
        operation: An index into `OPERATIONS`, int32 `[batch]`.
        strength: float32 `[batch]` in -1..1; the sign is the direction of operations that have
            two.
    """

    operation: tf.Tensor
    strength: tf.Tensor


def draw(batch_size: int, seed: tf.Tensor) -> Drawn:
    """Draws operations and strengths evenly from a seed, int32 `[2]`."""
    seeds = tf.random.split(seed, 2)
    return Drawn(
        tf.random.stateless_uniform([batch_size], seeds[0], 0, len(OPERATIONS), tf.int32),
        tf.random.stateless_uniform([batch_size], seeds[1], -1.0, 1.0),
    )


def apply(images: tf.Tensor, drawn: Drawn) -> tf.Tensor:
    """Changes each image as drawn.

    Args:
        images: uint8 `[batch, height, width, channels]`.
        drawn: One entry per image.

    Returns:
        Images of the same shape and type.
    """
    kinds: tuple[tuple[tuple[str, ...], Callable[..., tf.Tensor]], ...] = (
        (TABLES, _by_table),
        (BLENDS, _blended),
        (MAPS, _mapped),
    )
    for names, change in kinds:
        images = _changed(images, drawn, names, change)
    return images


def apply_to_masks(masks: tf.Tensor, drawn: Drawn) -> tf.Tensor:
    """Maps each mask as its image; pixels from outside of it have no class.

    Args:
        masks: uint8 `[batch, height, width, 1]`.
        drawn: One entry per mask.

    Returns:
        Masks of the same shape and type; pixels without a class are 255.
    """
    nearest = functools.partial(_mapped, interpolation="NEAREST", fill=VOID)
    return _changed(masks, drawn, MAPS, nearest)


def _changed(
    images: tf.Tensor, drawn: Drawn, names: tuple[str, ...], change: Callable[..., tf.Tensor]
) -> tf.Tensor:
    """Changes the images that drew one of the named operations."""
    index = drawn.operation - OPERATIONS.index(names[0])
    rows = tf.where((index >= 0) & (index < len(names)))
    some = (tf.gather_nd(values, rows) for values in (images, index, drawn.strength))
    changed = tf.ensure_shape(change(*some), [None, *images.shape[1:]])
    return tf.tensor_scatter_nd_update(images, rows, changed)


def _factor(strength: tf.Tensor) -> tf.Tensor:
    return 1.0 + LARGEST_FACTOR * strength


def _by_table(images: tf.Tensor, index: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Returns images after one of `TABLES` each."""
    _, height, width, channels = images.shape
    values = tf.range(256, dtype=tf.float32)[None, None]
    size, factor = tf.abs(strength)[:, None, None], _factor(strength)[:, None, None]
    mean = tf.reduce_mean(pixels.gray(tf.cast(images, tf.float32)), axis=(1, 2, 3))
    mean = tf.floor(mean + 0.5)[:, None, None]
    flat = tf.transpose(tf.reshape(images, [-1, height * width, channels]), [0, 2, 1])
    counts = _histograms(flat)
    step = 2.0 ** tf.round(size * (8 - LEAST_BITS))
    found = [
        factor * values,
        mean + factor * (values - mean),
        tf.floor(values / step) * step,
        tf.where(values < 256.0 * (1.0 - size), values, 255.0 - values),
        _stretched(flat, values),
        _equalized(counts, values),
    ]
    shape = [tf.shape(images)[0], channels, 256]
    tables = tf.stack([tf.broadcast_to(table, shape) for table in found], axis=1)
    table = pixels.to_bytes(tf.gather(tables, index, batch_dims=1))
    changed = tf.gather(table, tf.cast(flat, tf.int32), batch_dims=2)
    return tf.reshape(tf.transpose(changed, [0, 2, 1]), tf.shape(images))


def _histograms(flat: tf.Tensor) -> tf.Tensor:
    """Counts the values of each channel, `[batch, channels, 256]`, of `[batch, channels, n]`."""
    channels = flat.shape[1]
    rows = tf.reshape(tf.cast(flat, tf.int32), [-1, flat.shape[2]])
    counts = tf.math.bincount(rows, minlength=256, maxlength=256, axis=-1, dtype=tf.int32)
    return tf.reshape(counts, [-1, channels, 256])


def _stretched(flat: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns tables that map the range of each channel to 0..255; a constant one stays."""
    flat = tf.cast(flat, tf.float32)
    low = tf.reduce_min(flat, axis=-1, keepdims=True)
    high = tf.reduce_max(flat, axis=-1, keepdims=True)
    scaled = tf.floor((values - low) * (255.0 / tf.maximum(high - low, 1.0)))
    return tf.where(high > low, scaled, values)


def _equalized(counts: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns tables that make each channel's values equally frequent, as Pillow does."""
    last = tf.reduce_max(tf.where(counts > 0, tf.range(256), 0), axis=-1)
    rest = tf.reduce_sum(counts, axis=-1) - tf.gather(counts, last, batch_dims=2)
    step = (rest // 255)[..., None]
    below = tf.cumsum(counts, axis=-1, exclusive=True)
    table = (below + step // 2) // tf.maximum(step, 1)
    return tf.where(step > 0, tf.cast(tf.minimum(table, 255), tf.float32), values)


def _blended(images: tf.Tensor, index: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Returns images after one of `BLENDS` each: with their gray, or with their smoothed image."""
    values = tf.cast(images, tf.float32)
    colored = pixels.per_image(index) == BLENDS.index("color")
    others = tf.where(colored, pixels.gray(values), _smoothed(values))
    return pixels.to_bytes(pixels.blend(values, others, _factor(strength)))


def _smoothed(values: tf.Tensor) -> tf.Tensor:
    """Returns smoothed images; the pixels at the border stay."""
    _, height, width, channels = values.shape
    kernel = tf.constant(_SMOOTH, tf.float32)[..., None, None] / 13.0
    kernel = tf.tile(kernel, [1, 1, channels, 1])
    smooth = tf.round(tf.nn.depthwise_conv2d(values, kernel, [1, 1, 1, 1], "SAME"))
    rows, columns = tf.range(height)[:, None, None], tf.range(width)[:, None]
    inside = (rows > 0) & (rows < height - 1) & (columns > 0) & (columns < width - 1)
    return tf.where(inside, smooth, values)


def _mapped(
    images: tf.Tensor,
    index: tf.Tensor,
    strength: tf.Tensor,
    interpolation: str = "BILINEAR",
    fill: float = FILL,
) -> tf.Tensor:
    """Returns images after one of `MAPS` each."""
    _, height, width, _ = images.shape
    one, zero = tf.ones_like(strength), tf.zeros_like(strength)
    angle, shear = LARGEST_ANGLE * strength, LARGEST_SHEAR * strength
    shift = LARGEST_SHIFT * strength
    cosine, sine = tf.cos(angle), tf.sin(angle)
    x, y = (width - 1) / 2.0, (height - 1) / 2.0
    # Where a pixel (x, y) comes from: (a x + b y + c, d x + e y + f). Rotations keep the center,
    # shears the center's row or column.
    found = [
        (cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y),
        (one, shear, -shear * y, zero, one, zero),
        (one, zero, zero, shear, one, -shear * x),
        (one, zero, shift * width, zero, one, zero),
        (one, zero, zero, zero, one, shift * height),
    ]
    tables = tf.stack([tf.stack([*six, zero, zero], axis=1) for six in found], axis=1)
    changed = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.gather(tables, index, batch_dims=1),
        output_shape=tf.constant([height, width]),
        fill_value=fill,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )
    return pixels.to_bytes(changed)
