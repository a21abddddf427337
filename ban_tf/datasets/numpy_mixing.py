"""The mixup and CutMix of `mixing` in NumPy, for other backends than TensorFlow.

Random numbers are TensorFlow's, so that shares and rectangles agree up to rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ban_tf.datasets import device_images, numpy_batches, stateless_random
from ban_tf.datasets.numpy_batches import NumpyBatches

Mixed = tuple[Any, np.ndarray]


def mixed_batches(
    batches: NumpyBatches,
    num_classes: int,
    seed: int,
    first_step: int = 0,
    *,
    mixup_alpha: float | None = None,
    cutmix_alpha: float | None = None,
    num_shards: int = 1,
    shard_range: range = range(1),
) -> NumpyBatches:
    """Mixes every batch; see `mixing.mixed_batches`."""

    def mix(number: int) -> Mixed:
        images, labels = batches[number]
        targets = np.eye(num_classes, dtype=np.float32)[labels]
        draws: stateless_random.Seed = np.array([seed, first_step + number]).astype(np.int32)
        by_cutmix = bool(cutmix_alpha)
        if mixup_alpha and cutmix_alpha:
            which, draws = stateless_random.split(draws, 2)
            by_cutmix = not stateless_random.uniform((), which) < 0.5
        if by_cutmix:
            return cut(images, targets, cutmix_alpha or 0.0, draws)
        share = shares(len(labels), mixup_alpha or 0.0, draws)
        return blend(images, share), blend(targets, share)

    def shared(number: int) -> Mixed:
        inputs, targets = mix(number)
        shards = num_shards, shard_range
        return numpy_batches.part(inputs, *shards), numpy_batches.part(targets, *shards)

    return NumpyBatches(shared, batches.num_batches)


def shares(batch: int, alpha: float, seed: stateless_random.Seed) -> np.ndarray:
    """Draws from Beta(alpha, alpha), float32 `[batch]`; see `mixup.shares`."""
    seeds = stateless_random.split(seed, 2)
    gamma = stateless_random.gamma(2 * batch, seeds[0], alpha + 1.0).reshape(2, batch)
    uniform = np.float32(1) - stateless_random.uniform((2, batch), seeds[1])
    logs = np.log(gamma) + np.log(uniform) / np.float32(alpha)
    with np.errstate(over="ignore"):
        return np.float32(1) / (np.float32(1) + np.exp(logs[1] - logs[0]))


def blend(values: Any, share: np.ndarray) -> Any:
    """Returns the share of each value `[batch, ...]`, and the rest of the mirrored one.

    Like those of `cut`, images that `device_images` prepared are mixed on their device.
    """
    return _where_they_are(_blended, values, share)


def cut(images: Any, targets: np.ndarray, alpha: float, seed: stateless_random.Seed) -> Mixed:
    """Pastes rectangles; see `cutmix.cut`.

    Args:
        images: float32 `[batch, height, width, channels]`, of NumPy or on the device of JAX.
        targets: Distributions, float32 `[batch, classes]`.
        alpha: As for `cutmix.cut`.
        seed: Two integers.
    """
    seeds = stateless_random.split(seed, 3)
    extent = np.sqrt(shares(len(images), alpha, seeds[0]))
    rows = _inside(extent, images.shape[1], seeds[1])
    columns = _inside(extent, images.shape[2], seeds[2])
    inside = rows[:, :, None] & columns[:, None, :]
    kept = np.float32(1) - inside.astype(np.float32).mean(axis=(1, 2))
    return _where_they_are(_pasted, images, inside), blend(targets, kept)


def _inside(extent: np.ndarray, size: int, seed: stateless_random.Seed) -> np.ndarray:
    """Returns which rows, or columns, are inside, bool `[batch, size]`."""
    middle = stateless_random.uniform(extent.shape, seed)
    centers = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    return np.abs(centers - middle[:, None]) < extent[:, None] / np.float32(2)


def _where_they_are(function: Any, values: Any, draws: np.ndarray) -> Any:
    if device_images.is_on_device(values):
        return device_images.compiled(function)(values, draws)
    return function(values, draws, np)


def _blended(values: Any, share: Any, arrays: Any) -> Any:
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return share * values + (np.float32(1) - share) * values[::-1]


def _pasted(images: Any, inside: Any, arrays: Any) -> Any:
    return arrays.where(inside[..., None], images[::-1], images)
