"""The augmentations of `policies` in NumPy and JAX, for other backends than TensorFlow.

Draws are bit by bit those under TensorFlow, and so are crops and flips. What resamples images or
computes colors agrees up to the rounding of a pixel: there TensorFlow computes in float32, and
`fixed_point` with integers, so that NumPy and all devices of JAX get the same images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ban_tf.datasets import fixed_point, numpy_strong, numpy_trivial, policies, stateless_random
from ban_tf.datasets.numpy_step import Draws, Plan, Run, Step, in_numpy


class _Crop(Step):
    """Crops by up to four pixels, and flips; see `augmentation`."""

    def draw(self, count: int, seed: Any) -> Draws:
        seeds = stateless_random.split(seed, 3)
        bounds = (2 * policies.PADDING + 1, 2 * policies.PADDING + 1, 2)
        return tuple(
            stateless_random.integers(count, part, bound)
            for part, bound in zip(seeds, bounds, strict=True)
        )

    def plan(self, draws: Draws, shape: Sequence[int]) -> Plan:
        policies.check_crop(*shape[:2])
        return draws

    def change(self, images: Any, plan: Plan, run: Run) -> Any:
        return run(_cropped, images, *plan)

    def change_masks(self, masks: Any, plan: Plan, run: Run) -> Any:
        return self.change(masks, plan, run)


class _ResizedCrop(Step):
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

    def plan(self, draws: Draws, shape: Sequence[int]) -> Plan:
        top, left, height, width, flip = draws
        right = left + width
        # A box whose left edge is its right one is mirrored.
        start, end = np.where(flip == 1, right, left), np.where(flip == 1, left, right)
        rows = _spread(top, top + height, shape[0])
        columns = _spread(start, end, shape[1])
        return rows[:, :, None], columns[:, None]

    def change(self, images: Any, plan: Plan, run: Run) -> Any:
        return run(fixed_point.interpolated, images, *plan)

    def change_masks(self, masks: Any, plan: Plan, run: Run) -> Any:
        return run(fixed_point.nearest, masks, *plan)


STEPS: dict[str, Step] = {
    "augmentation": _Crop(),
    "random_resized_crop": _ResizedCrop(),
    "color_jitter": numpy_strong.Jitter(),
    "trivial_augment": numpy_trivial.Trivial(),
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


def plan(policy: str | bool, drawn: Sequence[Any], shape: Sequence[int]) -> Plan:
    """Returns what `change` and `change_masks` compute pixels from.

    Args:
        policy: One of `policies.POLICIES`.
        drawn: The result of `draw`, one entry per image.
        shape: Of the images: height, width and channels.

    Raises:
        InputError: The images are too small for "crop".
    """
    return tuple(
        step.plan(values, shape) for step, values in zip(_steps(policy), drawn, strict=True)
    )


def change(policy: str | bool, images: Any, planned: Plan, run: Run = in_numpy) -> Any:
    """Returns augmented images.

    Args:
        policy: One of `policies.POLICIES`.
        images: uint8 `[batch, height, width, channels]`.
        planned: The result of `plan`.
        run: Calls what computes pixels; in NumPy by default.
    """
    for step, values in zip(_steps(policy), planned, strict=True):
        images = step.change(images, values, run)
    return images


def change_masks(policy: str | bool, masks: Any, planned: Plan, run: Run = in_numpy) -> Any:
    """Returns masks, uint8 `[batch, height, width]`, moved as their images; see `change`."""
    masks = masks[..., None]
    for step, values in zip(_steps(policy), planned, strict=True):
        masks = step.change_masks(masks, values, run)
    return masks[..., 0]


def apply(policy: str | bool, images: np.ndarray, drawn: Sequence[Any]) -> np.ndarray:
    """Augments images; see `policies.apply`."""
    return change(policy, images, plan(policy, drawn, images.shape[1:]))


def apply_to_masks(policy: str | bool, masks: np.ndarray, drawn: Sequence[Any]) -> np.ndarray:
    """Moves the pixels of masks as those of their images; see `policies.apply_to_masks`."""
    return change_masks(policy, masks, plan(policy, drawn, (*masks.shape[1:], 1)))


def _steps(policy: str | bool) -> list[Step]:
    return [STEPS[name] for name in policies.steps(policy)]


def _cropped(images: Any, down: Any, right: Any, flip: Any, arrays: Any) -> Any:
    height, width = images.shape[1:3]
    rows = _reflect(arrays.arange(height) + down[:, None] - policies.PADDING, height)
    columns = _reflect(arrays.arange(width) + right[:, None] - policies.PADDING, width)
    columns = arrays.where(flip[:, None] == 1, columns[:, ::-1], columns)
    examples = arrays.arange(len(images))[:, None, None]
    return images[examples, rows[:, :, None], columns[:, None]]


def _reflect(index: Any, size: int) -> Any:
    return (size - 1) - abs((size - 1) - abs(index))


def _spread(start: np.ndarray, end: np.ndarray, size: int) -> np.ndarray:
    """Returns evenly spaced `fixed_point.positions` `[batch, size]`; parts are of 0..1."""
    start, end = np.clip(start, 0, 1), np.clip(end, 0, 1)
    last = np.float32(size - 1)
    if size == 1:
        return fixed_point.positions(np.zeros((len(start), 1)))
    scale = (end - start) * last / last
    at = start[:, None] * last + np.arange(size, dtype=np.float32) * scale[:, None]
    return fixed_point.positions(np.clip(at, 0, last))  # outside by rounding alone
