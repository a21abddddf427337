"""Color jitter, TrivialAugment and random erasing in NumPy, for `numpy_policies`.

`color_jitter`, `trivial_augment` and `random_erasing` describe them; draws are the same bit by bit,
and results agree up to the rounding of a pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ban_tf.datasets import stateless_random

Draws = tuple[Any, ...]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_FACTORS = (0.7, 1.3)
_TABLES = ("brightness", "contrast", "posterize", "solarize", "autocontrast", "equalize")
_FIRST_BLEND, _FIRST_MAP, _OPERATIONS = 7, 9, 14
_COLOR = 0  # of the blends
_LARGEST_FACTOR = np.float32(0.9)
_FILL, _VOID = 128.0, 255.0
_PROBABILITY, _AREA, _RATIO = 0.25, (0.02, 0.33), (0.3, 1 / 0.3)
_f = np.float32


class Jitter:
    """Random brightness, contrast and saturation; see `color_jitter`."""

    def draw(self, count: int, seed: Any) -> Draws:
        """Draws factors."""
        seeds = stateless_random.split(seed, 3)
        return tuple(stateless_random.uniform((count,), part, *_FACTORS) for part in seeds)

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Changes the colors of each image."""
        brightness, contrast, saturation = (part[:, None, None, None] for part in draws)
        values = images.astype(np.float32)
        gray = _gray(values)
        factor = brightness * contrast
        rest = factor * (1 - saturation) * gray
        rest += brightness * (1 - contrast) * gray.mean(axis=(1, 2), keepdims=True)
        return _to_bytes(factor * saturation * values + rest)


class Erasing:
    """Erases a random rectangle of some images; see `random_erasing`."""

    def draw(self, count: int, seed: Any) -> Draws:
        """Draws rectangles."""
        seeds, uniform = stateless_random.split(seed, 6), stateless_random.uniform
        size = (count,)
        erased = uniform(size, seeds[0]) < _PROBABILITY
        area = uniform(size, seeds[1], *_AREA)
        ratio = np.exp(uniform(size, seeds[2], *map(math.log, _RATIO)))
        height = np.minimum(np.sqrt(area / ratio), _f(1))
        width = np.minimum(np.sqrt(area * ratio), _f(1))
        top = uniform(size, seeds[3]) * (1 - height)
        left = uniform(size, seeds[4]) * (1 - width)
        level = stateless_random.integers(count, seeds[5], 256).astype(np.uint8)
        return erased, top, left, height, width, level

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Erases the pixels whose centers are in the rectangle of their image."""
        erased, top, left, height, width, level = draws
        rows = _inside(top, height, images.shape[1])
        columns = _inside(left, width, images.shape[2])
        inside = rows[:, :, None] & columns[:, None, :] & erased[:, None, None]
        return np.where(inside[..., None], level[:, None, None, None], images)


class Trivial:
    """One random operation of random strength for each image; see `trivial_augment`."""

    def draw(self, count: int, seed: Any) -> Draws:
        """Draws operations and strengths."""
        seeds = stateless_random.split(seed, 2)
        operations = stateless_random.integers(count, seeds[0], _OPERATIONS)
        return operations, stateless_random.uniform((count,), seeds[1], -1.0, 1.0)

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        """Changes each image."""
        found = images.copy()
        for first, end, change in (
            (1, _FIRST_BLEND, _by_table),
            (_FIRST_BLEND, _FIRST_MAP, _blended),
            (_FIRST_MAP, _OPERATIONS, _mapped),
        ):
            rows = (draws[0] >= first) & (draws[0] < end)
            if rows.any():
                found[rows] = change(images[rows], draws[0][rows] - first, draws[1][rows])
        return found

    def apply_to_masks(self, masks: np.ndarray, draws: Draws) -> np.ndarray:
        """Maps each mask as its image; pixels from outside of it have no class."""
        found, rows = masks.copy(), draws[0] >= _FIRST_MAP
        if rows.any():
            index, strength = draws[0][rows] - _FIRST_MAP, draws[1][rows]
            found[rows] = _mapped(masks[rows], index, strength, nearest=True)
        return found


def _gray(values: np.ndarray) -> np.ndarray:
    if values.shape[-1] != 3:
        return values.mean(axis=-1, keepdims=True)
    return (values @ _LUMA)[..., None]


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.round(np.clip(values, 0, 255)).astype(np.uint8)


def _inside(first: np.ndarray, extent: np.ndarray, size: int) -> np.ndarray:
    centers = (np.arange(size, dtype=np.float32) + _f(0.5)) / _f(size)
    return (centers >= first[:, None]) & (centers < (first + extent)[:, None])


def _by_table(images: np.ndarray, index: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Returns images whose values are replaced by those of a table for each channel."""
    count, channels = len(images), images.shape[-1]
    values = np.arange(256, dtype=np.float32)
    size, factor = np.abs(strength)[:, None, None], _factor(strength)[:, None, None]
    mean = np.floor(_gray(images.astype(np.float32)).mean(axis=(1, 2, 3)) + _f(0.5))[:, None, None]
    flat = images.reshape(count, -1, channels).swapaxes(1, 2)
    step = _f(2) ** np.round(size * 4)
    tables = [
        factor * values,
        mean + factor * (values - mean),
        np.floor(values / step) * step,
        np.where(values < 256 * (1 - size), values, 255 - values),
        _stretched(flat, values),
        _equalized(flat, values),
    ]
    shape = (count, channels, 256)
    stacked = np.stack([np.broadcast_to(table, shape) for table in tables], axis=1)
    table = _to_bytes(stacked[np.arange(count), index])
    changed = np.take_along_axis(table, flat.astype(np.intp), axis=2)
    return changed.swapaxes(1, 2).reshape(images.shape)


def _stretched(flat: np.ndarray, values: np.ndarray) -> np.ndarray:
    low, high = (
        limit(flat, axis=-1, keepdims=True).astype(np.float32) for limit in (np.min, np.max)
    )
    scaled = np.floor((values - low) * (_f(255) / np.maximum(high - low, _f(1))))
    return np.where(high > low, scaled, values)


def _equalized(flat: np.ndarray, values: np.ndarray) -> np.ndarray:
    rows = flat.reshape(-1, flat.shape[-1]).astype(np.intp)
    places = rows + 256 * np.arange(len(rows))[:, None]
    counts = np.bincount(places.reshape(-1), minlength=256 * len(rows))
    counts = counts.reshape(*flat.shape[:2], 256)
    last = flat.max(axis=-1, keepdims=True).astype(np.intp)
    rest = counts.sum(axis=-1, keepdims=True) - np.take_along_axis(counts, last, axis=-1)
    step = rest // 255
    below = np.cumsum(counts, axis=-1) - counts
    table = (below + step // 2) // np.maximum(step, 1)
    return np.where(step > 0, np.minimum(table, 255).astype(np.float32), values)


def _blended(images: np.ndarray, index: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Returns images after a blend each: with their gray, or with their smoothed image."""
    values = images.astype(np.float32)
    colored = (index == _COLOR)[:, None, None, None]
    others = np.where(colored, _gray(values), _smoothed(values))
    return _to_bytes(others + _factor(strength)[:, None, None, None] * (values - others))


def _factor(strength: np.ndarray) -> np.ndarray:
    return 1 + _LARGEST_FACTOR * strength


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Returns smoothed images; the pixels at the border stay."""
    height, width = values.shape[1:3]
    found = values.copy()
    if min(height, width) < 3:
        return found
    total = 4 * values[:, 1:-1, 1:-1]  # the middle counts five times
    for down in range(3):
        for right in range(3):
            total = total + values[:, down : height - 2 + down, right : width - 2 + right]
    found[:, 1:-1, 1:-1] = np.round(total / _f(13))
    return found


def _mapped(
    images: np.ndarray, index: np.ndarray, strength: np.ndarray, nearest: bool = False
) -> np.ndarray:
    """Returns images after an affine map each; pixels from outside are gray, or without a class."""
    height, width = images.shape[1:3]
    at_x, at_y = _sources(index, strength, height, width)
    if nearest:
        # Half a pixel is rounded away from zero.
        x, y = (np.trunc(at + np.copysign(_f(0.5), at)).astype(int) for at in (at_x, at_y))
        return _read(images, y, x, _VOID).astype(np.uint8)
    x, y = np.floor(at_x), np.floor(at_y)
    right, down = (at_x - x)[..., None], (at_y - y)[..., None]
    x, y = x.astype(int), y.astype(int)
    above, below = (
        (1 - right) * _read(images, rows, x, _FILL) + right * _read(images, rows, x + 1, _FILL)
        for rows in (y, y + 1)
    )
    return _to_bytes((1 - down) * above + down * below)


def _sources(
    index: np.ndarray, strength: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns where pixels come from, their x and y, float32 `[batch, height, width]`."""
    one, zero = np.ones_like(strength), np.zeros_like(strength)
    angle, shear, shift = _f(math.radians(30)) * strength, _f(0.3) * strength, _f(0.3) * strength
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y = _f((width - 1) / 2), _f((height - 1) / 2)
    maps = [
        (cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y),
        (one, shear, -shear * y, zero, one, zero),
        (one, zero, zero, shear, one, -shear * x),
        (one, zero, shift * _f(width), zero, one, zero),
        (one, zero, zero, zero, one, shift * _f(height)),
    ]
    chosen = np.stack([np.stack(six, axis=1) for six in maps], axis=1)[np.arange(len(index)), index]
    a, b, c, d, e, f = (part[:, None, None] for part in chosen.T)
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    return a * columns + b * rows + c, d * columns + e * rows + f


def _read(images: np.ndarray, y: np.ndarray, x: np.ndarray, fill: float) -> np.ndarray:
    """Returns pixels, float32 `[batch, height, width, channels]`; those outside are `fill`."""
    height, width = images.shape[1:3]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    batch = np.arange(len(images))[:, None, None]
    found = images[batch, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.where(inside[..., None], found.astype(np.float32), _f(fill))
