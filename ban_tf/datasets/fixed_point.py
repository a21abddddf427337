"""Arithmetic of pixels by integers: the same bits in NumPy and on every device of JAX.

A device may round a product and a sum of floats once instead of twice. Therefore the host rounds
positions and factors, and pixels are computed from these in 32 bits, without overflow. Functions of
pixels take `arrays`, the module of their arrays: NumPy, or `jax.numpy` in a compiled function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ban_tf.datasets import policies
from ban_tf.errors import InputError

POSITION_BITS = 16  # after the binary point
PIXEL = 1 << POSITION_BITS  # from a position to that of the next pixel
FACTOR_BITS = 20
ONE = 1 << FACTOR_BITS  # the factor that changes nothing

_WEIGHT_BITS = 24  # of a pixel in an interpolated one; 255 << 24 is below 1 << 32
_MEAN_BITS, _LARGEST = 10, 8192  # so that sums of rows fit into 32 bits


def positions(values: np.ndarray) -> np.ndarray:
    """Returns positions of pixels in fixed point, int32 of the same shape."""
    return np.round(values * PIXEL).astype(np.int32)


def factors(values: np.ndarray) -> np.ndarray:
    """Returns factors in fixed point, int32 of the same shape."""
    return np.round(np.asarray(values, np.float64) * ONE).astype(np.int32)


def luma(channels: int) -> np.ndarray:
    """Returns the shares of channels in the gray of a pixel, float64 `[channels]`."""
    return np.array(policies.LUMA) if channels == 3 else np.full(channels, 1 / channels)


def interpolated(images: Any, rows: Any, columns: Any, arrays: Any) -> Any:
    """Returns the pixels at positions by bilinear interpolation, rounded.

    Args:
        images: uint8 `[batch, height, width, channels]`.
        rows: `positions` of the pixels to read, from the first row to the last one, int32 of a
            shape that is broadcast to `[batch, new height, new width]`.
        columns: Likewise, from the first column to the last one.
        arrays: The module of the arrays.

    Returns:
        uint8 `[batch, new height, new width, channels]`.
    """
    height, width = images.shape[1:3]
    y, x = rows >> POSITION_BITS, columns >> POSITION_BITS
    below, right = arrays.minimum(y + 1, height - 1), arrays.minimum(x + 1, width - 1)
    down, across = ((at & (PIXEL - 1)).astype(arrays.uint32) for at in (rows, columns))
    both = (down * across) >> (2 * POSITION_BITS - _WEIGHT_BITS)
    down, across = (part << (_WEIGHT_BITS - POSITION_BITS) for part in (down, across))
    corners = (
        (y, x, (1 << _WEIGHT_BITS) - down - across + both),
        (y, right, across - both),
        (below, x, down - both),
        (below, right, both),
    )
    total = sum(
        _read(images, row, column, arrays).astype(arrays.uint32) * weight[..., None]
        for row, column, weight in corners
    )
    return _rounded(total, _WEIGHT_BITS).astype(arrays.uint8)


def nearest(images: Any, rows: Any, columns: Any, arrays: Any) -> Any:
    """Returns the pixels that are nearest to positions; as `interpolated` otherwise."""
    y, x = (_rounded(at, POSITION_BITS) for at in (rows, columns))
    return _read(images, y, x, arrays)


def mean(images: Any, weights: Any, arrays: Any) -> Any:
    """Returns the weighted sum of the channels' means, in the scale of the weights.

    Args:
        images: uint8 `[batch, height, width, channels]`.
        weights: int32 `[batch, channels]`, `factors` of at most one together.
        arrays: The module of the arrays.

    Returns:
        int32 `[batch]`.

    Raises:
        InputError: The images are too large.
    """
    height, width = images.shape[1:3]
    if max(height, width) > _LARGEST:
        raise InputError(
            f"Images of {height}x{width} pixels are too large for their colors to be augmented, at "
            f"most {_LARGEST}x{_LARGEST}; use --augment=standard."
        )
    of_rows = images.sum(axis=2, dtype=arrays.int32) << _MEAN_BITS
    of_rows = (of_rows + width // 2) // width
    means = (of_rows.sum(axis=1, dtype=arrays.int32) + height // 2) // height
    whole, part = means >> _MEAN_BITS, means & ((1 << _MEAN_BITS) - 1)
    return _sum(weights * whole, arrays) + (_sum(weights * part, arrays) >> _MEAN_BITS)


def weighted(images: Any, own: Any, gray: Any, rest: Any, arrays: Any) -> Any:
    """Returns images of weighted sums, clipped and rounded.

    Args:
        images: uint8 `[batch, height, width, channels]`.
        own: Factors of each value, int32 `[batch]`.
        gray: Factors of all channels, whose sum is added to each of them, int32
            `[batch, channels]`.
        rest: What is added, int32, in the scale of factors, of a shape that is broadcast to that
            of the images.
        arrays: The module of the arrays.

    Returns:
        uint8 of the same shape. No sum is above eight times the range of pixels.
    """
    values = images.astype(arrays.int32)
    gray = gray[:, None, None, :]
    grays = sum(values[..., part] * gray[..., part] for part in range(values.shape[-1]))
    total = own[:, None, None, None] * values + grays[..., None] + rest
    return arrays.clip(_rounded(total, FACTOR_BITS), 0, 255).astype(arrays.uint8)


def taken(values: Any, index: Any, arrays: Any) -> Any:
    """Returns the entries of an array at indices of its first axis, which are not checked."""
    return arrays.take(values, index, axis=0, mode="clip")


def _read(images: Any, rows: Any, columns: Any, arrays: Any) -> Any:
    count, height, width, channels = images.shape
    first = arrays.arange(count)[:, None, None] * height
    flat = images.reshape(count * height * width, channels)
    return taken(flat, (first + rows) * width + columns, arrays)


def _sum(values: Any, arrays: Any) -> Any:
    return values.sum(axis=-1, dtype=arrays.int32)


def _rounded(values: Any, bits: int) -> Any:
    return (values + (1 << (bits - 1))) >> bits
