"""Color jitter and random erasing, for `numpy_policies`.

`color_jitter` and `random_erasing` describe them; draws are the same bit by bit, and results agree
up to the rounding of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ban_tf.datasets import fixed_point, stateless_random
from ban_tf.datasets.numpy_step import Draws, Plan, Run, Step

_FACTORS = (0.7, 1.3)
_PROBABILITY, _AREA, _RATIO = 0.25, (0.02, 0.33), (0.3, 1 / 0.3)
_f = np.float32


class Jitter(Step):
    """Random brightness, contrast and saturation; see `color_jitter`."""

    def draw(self, count: int, seed: Any) -> Draws:
        """Draws factors."""
        seeds = stateless_random.split(seed, 3)
        return tuple(stateless_random.uniform((count,), part, *_FACTORS) for part in seeds)

    def plan(self, draws: Draws, shape: Sequence[int]) -> Plan:
        """Returns the factors of a value, of the gray of its pixel and of the image's mean."""
        brightness, contrast, saturation = (part.astype(float)[:, None] for part in draws)
        factor, luma = brightness * contrast, fixed_point.luma(shape[2])
        of_gray = factor * (1 - saturation) * luma
        of_mean = brightness * (1 - contrast) * luma
        own = (factor * saturation)[:, 0]
        return tuple(fixed_point.factors(part) for part in (own, of_gray, of_mean))

    def change(self, images: Any, plan: Plan, run: Run) -> Any:
        """Changes the colors of each image."""
        return run(_jittered, images, *plan)


class Erasing(Step):
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

    def plan(self, draws: Draws, shape: Sequence[int]) -> Plan:
        """Returns which rows and columns are erased, and the gray that fills them."""
        erased, top, left, height, width, level = draws
        rows = _inside(top, height, shape[0]) & erased[:, None]
        return rows, _inside(left, width, shape[1]), level

    def change(self, images: Any, plan: Plan, run: Run) -> Any:
        """Erases the pixels whose centers are in the rectangle of their image."""
        return run(_erased, images, *plan)


def _inside(first: np.ndarray, extent: np.ndarray, size: int) -> np.ndarray:
    centers = (np.arange(size, dtype=np.float32) + _f(0.5)) / _f(size)
    return (centers >= first[:, None]) & (centers < (first + extent)[:, None])


def _jittered(images: Any, own: Any, of_gray: Any, of_mean: Any, arrays: Any) -> Any:
    rest = fixed_point.mean(images, of_mean, arrays)[:, None, None, None]
    return fixed_point.weighted(images, own, of_gray, rest, arrays)


def _erased(images: Any, rows: Any, columns: Any, level: Any, arrays: Any) -> Any:
    inside = rows[:, :, None] & columns[:, None, :]
    return arrays.where(inside[..., None], level[:, None, None, None], images)
