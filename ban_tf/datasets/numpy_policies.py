"""The augmentations of `policies` in NumPy, for other backends than TensorFlow.

Draws are bit by bit those under TensorFlow, and so are crops and flips. Those that resample
images agree up to the rounding of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ban_tf.datasets import numpy_strong, policies, stateless_random

Draws = tuple[Any, ...]


class _Crop:
    """Crops by up to four pixels, and flips; see `augmentation`."""

    def draw(self, count: int, seed: Any) -> Draws:
        seeds = stateless_random.split(seed, 3)
        bounds = (2 * policies.PADDING + 1, 2 * policies.PADDING + 1, 2)
        return tuple(
            stateless_random.integers(count, part, bound)
            for part, bound in zip(seeds, bounds, strict=True)
        )

    def apply(self, images: Any, draws: Draws, arrays: Any = np) -> Any:
        down, right, flip = draws
        height, width = images.shape[1:3]
        policies.check_crop(height, width)
        rows = _reflect(arrays.arange(height) + down[:, None] - policies.PADDING, height)
        columns = _reflect(arrays.arange(width) + right[:, None] - policies.PADDING, width)
        columns = arrays.where(flip[:, None] == 1, columns[:, ::-1], columns)
        examples = arrays.arange(len(images))[:, None, None]
        return images[examples, rows[:, :, None], columns[:, None]]

    apply_to_masks = apply


class _ResizedCrop:
    """Crops of random size and shape, and flips; see `random_resized_crop`."""

    SCALE, RATIO, ATTEMPTS = (0.35, 1.0), (3 / 4, 4 / 3), 10

    def draw(self, count: int, seed: Any) -> Draws:
        seeds = stateless_random.split(seed, 5)
        uniform, several = stateless_random.uniform, (count, self.ATTEMPTS)
        area = uniform(several, seeds[0], *self.SCALE)
        ratio = np.exp(uniform(several, seeds[1], *map(math.log, self.RATIO)))
        heights, widths = np.sqrt(area / ratio), np.sqrt(area * ratio)
        # The first that fits; if none does, the first one, clipped.
        first = np.argmax(np.maximum(heights, widths) <= 1.0, axis=1)[:, None]
        height, width = (
            np.minimum(np.take_along_axis(sizes, first, 1)[:, 0], np.float32(1))
            for sizes in (heights, widths)
        )
        top = uniform((count,), seeds[2]) * (1 - height)
        left = uniform((count,), seeds[3]) * (1 - width)
        return top, left, height, width, stateless_random.integers(count, seeds[4], 2)

    def apply(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        rows, columns = self._positions(images, draws)
        found = _between(images.astype(np.float32), columns, axis=2)
        return np.round(_between(found, rows, axis=1)).astype(np.uint8)

    def apply_to_masks(self, images: np.ndarray, draws: Draws) -> np.ndarray:
        rows, columns = (
            np.where(at - np.trunc(at) >= 0.5, np.trunc(at) + 1, np.trunc(at)).astype(int)
            for at in self._positions(images, draws)
        )
        return images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None]]

    def _positions(self, images: np.ndarray, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
        """Returns which rows and columns are read, float32 `[batch, size]`."""
        top, left, height, width, flip = draws
        right = left + width
        # A box whose left edge is its right one is mirrored.
        start, end = np.where(flip == 1, right, left), np.where(flip == 1, left, right)
        return (
            _spread(top, top + height, images.shape[1]),
            _spread(start, end, images.shape[2]),
        )


STEPS: dict[str, Any] = {
    "augmentation": _Crop(),
    "random_resized_crop": _ResizedCrop(),
    "color_jitter": numpy_strong.Jitter(),
    "trivial_augment": numpy_strong.Trivial(),
    "random_erasing": numpy_strong.Erasing(),
}


def draw(policy: str | bool, count: int, seed: Any) -> Draws:
    """Draws all augmentations of a policy from a seed, two integers."""
    steps = _steps(policy)
    seeds = [seed] if len(steps) < 2 else stateless_random.split(seed, len(steps))
    return tuple(step.draw(count, part) for step, part in zip(steps, seeds, strict=False))


def select(draws: Draws, chosen: np.ndarray) -> Draws:
    """Returns what was drawn for some images, given their indices."""
    return tuple(tuple(part[chosen] for part in drawn) for drawn in draws)


def apply(policy: str | bool, images: np.ndarray, drawn: Sequence[Any]) -> np.ndarray:
    """Augments images; see `policies.apply`."""
    for step, values in zip(_steps(policy), drawn, strict=True):
        images = step.apply(images, values)
    return images


def apply_to_masks(policy: str | bool, masks: np.ndarray, drawn: Sequence[Any]) -> np.ndarray:
    """Moves the pixels of masks as those of their images; see `policies.apply_to_masks`."""
    masks = masks[..., np.newaxis]
    for step, values in zip(_steps(policy), drawn, strict=True):
        if hasattr(step, "apply_to_masks"):  # others change colors alone
            masks = step.apply_to_masks(masks, values)
    return masks[..., 0]


def only_moves_pixels(policy: str | bool) -> bool:
    """Returns whether a policy computes nothing: JAX's device then gives the same images."""
    return all(isinstance(step, _Crop) for step in _steps(policy))


def move(policy: str | bool, images: Any, drawn: Sequence[Any], arrays: Any) -> Any:
    """Does what `apply` does, for policies that only move pixels.

    Args:
        policy: See `only_moves_pixels`.
        images: `[batch, height, width, channels]`, or masks with one channel.
        drawn: As for `apply`.
        arrays: The module of the arrays: NumPy, or `jax.numpy` in a compiled function.
    """
    for step, values in zip(_steps(policy), drawn, strict=True):
        images = step.apply(images, values, arrays)
    return images


def _steps(policy: str | bool) -> list[Any]:
    return [STEPS[name] for name in policies.steps(policy)]


def _reflect(index: Any, size: int) -> Any:
    return (size - 1) - abs((size - 1) - abs(index))


def _spread(start: np.ndarray, end: np.ndarray, size: int) -> np.ndarray:
    """Returns evenly spaced positions of pixels, float32 `[batch, size]`; parts are of 0..1."""
    start, end = np.clip(start, 0, 1), np.clip(end, 0, 1)
    last = np.float32(size - 1)
    if size == 1:
        return (np.float32(0.5) * (start + end) * last)[:, None]
    scale = (end - start) * last / last
    return start[:, None] * last + np.arange(size, dtype=np.float32) * scale[:, None]


def _between(images: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Returns rows (axis 1) or columns (axis 2) at positions between pixels, by interpolation.

    Positions outside of the image, by rounding alone, are those of its edge.
    """
    at = np.clip(at, 0, images.shape[axis] - 1)
    before = np.floor(at)
    shape = (len(at), -1, 1, 1) if axis == 1 else (len(at), 1, -1, 1)
    first, second = (
        np.take_along_axis(images, place.astype(int).reshape(shape), axis)
        for place in (before, np.ceil(at))
    )
    return first + (second - first) * (at - before).reshape(shape)
