"""TrivialAugment, for `numpy_policies`.

`trivial_augment` describes it; draws are the same bit by bit, and results agree up to the rounding
of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ban_tf.datasets import fixed_point, stateless_random
from ban_tf.datasets.fixed_point import ONE, PIXEL
from ban_tf.datasets.numpy_step import Draws, Plan, Run, Step, in_numpy

_TABLES = ("posterize", "solarize", "autocontrast", "equalize")
_BLENDS = ("brightness", "contrast", "color", "sharpness")
_MAPS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
OPERATIONS = ("identity", *_BLENDS[:2], *_TABLES, *_BLENDS[2:], *_MAPS)
_LARGEST_FACTOR, _LARGEST_ANGLE, _LARGEST_SHEAR, _LARGEST_SHIFT = 0.9, math.radians(30), 0.3, 0.3
_FILL, _VOID = 128, 255


class Trivial(Step):
    """One random operation of random strength for each image; see `trivial_augment`.

    Each image goes through a table, a blend and a map, which change nothing unless they are for its
    operation. NumPy leaves those out.
    """

    def draw(self, count: int, seed: Any) -> Draws:
        """Draws operations and strengths."""
        seeds = stateless_random.split(seed, 2)
        operations = stateless_random.integers(count, seeds[0], len(OPERATIONS))
        return operations, stateless_random.uniform((count,), seeds[1], -1.0, 1.0)

    def plan(self, draws: Draws, shape: Sequence[int]) -> Plan:
        """Returns the operations, and what tables, blends and maps are computed from."""
        operation, strength = draws
        exact = strength.astype(float)
        return (
            operation,
            _table_plan(operation, np.abs(strength)),
            _blend_plan(operation, exact, shape[2]),
            _map_plan(operation, exact, *shape[:2]),
        )

    def change(self, images: Any, plan: Plan, run: Run) -> Any:
        """Changes each image."""
        operation, *values = plan
        for change, names, part in zip(
            (_by_table, _blended, _mapped), (_TABLES, _BLENDS, _MAPS), values, strict=True
        ):
            images = _changed(change, images, _drew(operation, *names), part, run)
        return images

    def change_masks(self, masks: Any, plan: Plan, run: Run) -> Any:
        """Maps each mask as its image; pixels from outside of it have no class."""
        return run(_moved, masks, *plan[-1])


def _changed(
    change: Callable[..., Any], images: Any, chosen: np.ndarray, values: Plan, run: Run
) -> Any:
    """Changes the chosen images; a device all of them, of which the others stay unchanged."""
    if run is not in_numpy:
        return change(run, images, *values)
    if chosen.any():
        images = images.copy()
        images[chosen] = change(run, images[chosen], *(part[chosen] for part in values))
    return images


def _drew(operation: np.ndarray, *names: str) -> np.ndarray:
    """Returns which images drew one of some operations, bool `[batch]`."""
    return sum(operation == OPERATIONS.index(name) for name in names) > 0


def _table_plan(operation: np.ndarray, size: np.ndarray) -> Plan:
    """Returns what tables are made of.

    Args:
        operation: int32 `[batch]`.
        size: How strong it is, float32 `[batch]`.

    Returns:
        The bits that are kept and the first value that is inverted, int32 `[batch]`, and whether
        values are stretched and equalized, bool `[batch]`.
    """
    dropped = 2 ** np.round(size * 4).astype(np.int32) - 1
    kept = 255 - np.where(_drew(operation, "posterize"), dropped, 0)
    first = np.ceil(256 * (1 - size)).astype(np.int32)
    first = np.where(_drew(operation, "solarize"), first, 256)
    return kept, first, _drew(operation, "autocontrast"), _drew(operation, "equalize")


def _by_table(run: Run, images: Any, *plan: Any) -> Any:
    """Returns images whose values are replaced by those of a table for each channel."""
    # Two calls: a compiled program would compute the entry of the table for each pixel.
    return run(_looked_up, images, run(_tables, images, *plan))


def _tables(images: Any, kept: Any, first: Any, stretched: Any, equalized: Any, arrays: Any) -> Any:
    """Returns uint8 `[batch, channels, 256]`."""
    kept, first, stretched, equalized = (
        part[:, None, None] for part in (kept, first, stretched, equalized)
    )
    values = arrays.arange(256)
    table = values & kept
    table = arrays.where(table < first, table, 255 - table)
    counts = _histograms(images, arrays)
    low = arrays.where(counts > 0, values, 255).min(axis=-1, keepdims=True)
    high = arrays.where(counts > 0, values, 0).max(axis=-1, keepdims=True)
    table = arrays.where(stretched, _stretched(low, high, values, arrays), table)
    table = arrays.where(equalized, _equalized(counts, high, values, arrays), table)
    return table.astype(arrays.uint8)


def _histograms(images: Any, arrays: Any) -> Any:
    """Counts the values of each channel, `[batch, channels, 256]`."""
    count, channels = len(images), images.shape[-1]
    index, size = _entries(images, arrays).reshape(-1), 256 * count * channels
    if arrays is np:
        counts = np.bincount(index, minlength=size)
    else:
        counts = arrays.zeros(size, arrays.int32).at[index].add(1)
    return counts.reshape(count, channels, 256)


def _stretched(low: Any, high: Any, values: Any, arrays: Any) -> Any:
    scaled = arrays.clip((values - low) * 255 // arrays.maximum(high - low, 1), 0, 255)
    return arrays.where(high > low, scaled, values)


def _equalized(counts: Any, last: Any, values: Any, arrays: Any) -> Any:
    step = arrays.where(values == last, 0, counts).sum(axis=-1, keepdims=True) // 255
    below = arrays.cumsum(counts, axis=-1) - counts
    table = (below + step // 2) // arrays.maximum(step, 1)
    return arrays.where(step > 0, arrays.minimum(table, 255), values)


def _looked_up(images: Any, tables: Any, arrays: Any) -> Any:
    return fixed_point.taken(tables.reshape(-1), _entries(images, arrays), arrays)


def _entries(images: Any, arrays: Any) -> Any:
    """Returns the index of each value in the tables of its batch, int32."""
    count, channels = len(images), images.shape[-1]
    first = arrays.arange(count * channels, dtype=arrays.int32).reshape(count, 1, 1, channels)
    return images + 256 * first


def _blend_plan(operation: np.ndarray, strength: np.ndarray, channels: int) -> Plan:
    """Returns the factors of value, pixel's gray, image's mean gray and smoothed image."""
    rest = -_LARGEST_FACTOR * strength
    own = np.where(_drew(operation, *_BLENDS), 1 - rest, 1)
    gray, mean, smooth = (
        np.where(_drew(operation, name), rest, 0) for name in ("color", "contrast", "sharpness")
    )
    gray = gray[:, None] * fixed_point.luma(channels)
    return tuple(fixed_point.factors(part) for part in (own, gray, mean, smooth))


def _blended(run: Run, images: Any, *plan: Any) -> Any:
    """Returns images after a blend each."""
    return run(_blend, images, *plan)


def _blend(images: Any, own: Any, gray: Any, mean: Any, smooth: Any, arrays: Any) -> Any:
    # Pillow rounds the mean, too.
    luma = arrays.asarray(fixed_point.factors(fixed_point.luma(images.shape[-1])))[None]
    rounded = (fixed_point.mean(images, luma, arrays) + ONE // 2) // ONE
    rest = (mean * rounded)[:, None, None, None]
    rest = rest + smooth[:, None, None, None] * _smoothed(images.astype(arrays.int32), arrays)
    return fixed_point.weighted(images, own, gray, rest, arrays)


def _smoothed(values: Any, arrays: Any) -> Any:
    """Returns smoothed images; the pixels at the border stay."""
    height, width = values.shape[1:3]
    if min(height, width) < 3:
        return values
    rows = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    total = total + 4 * values[:, 1:-1, 1:-1]  # the middle counts five times
    border = ((0, 0), (1, 1), (1, 1), (0, 0))
    inside = np.pad(np.ones((1, height - 2, width - 2, 1), bool), border)
    return arrays.where(inside, arrays.pad((total + 6) // 13, border), values)


def _map_plan(operation: np.ndarray, strength: np.ndarray, height: int, width: int) -> Plan:
    """Returns where pixels come from.

    Returns:
        Parts by rows, `[batch, height, 1]`, and by columns, `[batch, 1, width]`, which add up to
        positions: both parts of y, then those of x.
    """

    def drawn(name: str, largest: float) -> np.ndarray:
        return np.where(_drew(operation, name), largest * strength, 0)[:, None]

    angle = drawn("rotate", _LARGEST_ANGLE)
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    # Rotations keep the center, shears the center's row or column.
    columns, rows = np.arange(width) - x, np.arange(height) - y
    of_y = y + cosine * rows + drawn("translate_y", _LARGEST_SHIFT * height)
    of_x = x + cosine * columns + drawn("translate_x", _LARGEST_SHIFT * width)
    y_by_columns = (drawn("shear_y", _LARGEST_SHEAR) - sine) * columns
    x_by_rows = (drawn("shear_x", _LARGEST_SHEAR) + sine) * rows
    of_y, y_by_columns, of_x, x_by_rows = map(
        fixed_point.positions, (of_y, y_by_columns, of_x, x_by_rows)
    )
    return of_y[:, :, None], y_by_columns[:, None], x_by_rows[:, :, None], of_x[:, None]


def _mapped(run: Run, images: Any, *plan: Any) -> Any:
    """Returns images after an affine map each; pixels from outside are gray."""
    return run(_resampled, images, *plan)


def _resampled(images: Any, *plan: Any, arrays: Any) -> Any:
    return fixed_point.interpolated(*_outside(images, plan, _FILL, arrays), arrays)


def _moved(masks: Any, *plan: Any, arrays: Any) -> Any:
    return fixed_point.nearest(*_outside(masks, plan, _VOID, arrays), arrays)


def _outside(images: Any, plan: Sequence[Any], fill: int, arrays: Any) -> tuple[Any, Any, Any]:
    """Returns images with a border of a value, and which of their rows and columns are read."""
    y, y_by_columns, x_by_rows, x = plan
    height, width = images.shape[1:3]
    rows, columns = (
        arrays.clip(at + PIXEL, 0, (size + 1) * PIXEL)
        for at, size in ((y + y_by_columns, height), (x_by_rows + x, width))
    )
    border = ((0, 0), (1, 1), (1, 1), (0, 0))
    return arrays.pad(images, border, constant_values=fill), rows, columns
