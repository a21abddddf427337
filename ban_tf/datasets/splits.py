"""The validation split, and the statistics of the training images."""

from __future__ import annotations

import math

import numpy as np

from ban_tf.datasets import label_splits
from ban_tf.datasets.image_data import Rows, Split
from ban_tf.errors import InputError
from ban_tf.system import seeds

_PIXELS = 2**16  # counted at a time, in the cache of the processor
# Bins of numbers, each of which is split alike, and examples in one at least: of fewer, no part is
# near the given fraction.
_BINS, _EXAMPLES_OF_A_BIN = 10, 50


def cut_validation(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Splits stratified validation data from training data.

    Args:
        split: All training data.
        fraction: Fraction of each class for validation, in [0, 0.5]; rounded, and at least one
            example of each class remains for training.
        seed: Seed of the choice.

    Returns:
        The training and the validation split, each in the original order.

    Raises:
        InputError: `fraction` is out of range.
    """
    if not 0 <= fraction <= 0.5:
        raise InputError(f"--validation_fraction must be between 0 and 0.5; it is {fraction}.")
    held_out = choose(split.labels, fraction, seed)
    return split.select(~held_out), split.select(held_out)


def choose(labels: np.ndarray, fraction: float, seed: int, at_least: int = 0) -> np.ndarray:
    """Returns which examples are held out, bool `[examples]`.

    Args:
        labels: int32 `[examples]`, or `[examples, labels]` (see `label_splits`); or numbers,
            floats `[examples]`, each range of which has its share.
        fraction: Fraction of each class that is held out, in [0, 1); rounded.
        seed: Seed of the choice.
        at_least: Number of examples of each class that are held out at least; one of each class
            always remains.
    """
    if labels.ndim > 1:
        return label_splits.choose(labels, fraction, seed, at_least)
    labels = _strata(labels)
    held_out = np.zeros(len(labels), dtype=bool)
    generator = np.random.default_rng(seed)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(fraction * len(members)), at_least), len(members) - 1)
        held_out[generator.permutation(members)[:count]] = True
    return held_out


def _strata(labels: np.ndarray) -> np.ndarray:
    """Returns groups that are split alike: classes, or bins of as many numbers, `[examples]`."""
    if labels.dtype.kind != "f":
        return labels
    ranks = np.argsort(np.argsort(labels, kind="stable"), kind="stable")
    bins = min(_BINS, max(1, len(labels) // _EXAMPLES_OF_A_BIN))
    return ranks * bins // max(1, len(labels))


def choose_test(labels: np.ndarray, fraction: float) -> np.ndarray:
    """Returns which examples are test data, bool `[examples]`: the same ones in all runs."""
    return choose(labels, fraction, seeds.derive_seed(0, "test"), at_least=1)


def channel_statistics(images: np.ndarray | Rows) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation of each channel, of images scaled to 0..1.

    Args:
        images: uint8 `[examples, height, width, channels]`.

    Returns:
        Two float32 arrays `[channels]`. The deviation of a constant channel is one.
    """
    # Counting the 256 values is exact, and needs no float copy of the images.
    values = np.arange(256) / 255.0
    counts = np.zeros((images.shape[-1], 256), np.int64)
    size = max(1, _PIXELS // math.prod(images.shape[1:3]))
    for start in range(0, len(images), size):
        some = images[start : start + size]
        for channel in range(images.shape[-1]):
            counts[channel] += np.bincount(some[..., channel].ravel(), minlength=256)
    means = np.array([np.average(values, weights=weights) for weights in counts])
    deviations = np.array(
        [
            np.sqrt(np.average((values - mean) ** 2, weights=weights))
            for mean, weights in zip(means, counts, strict=True)
        ]
    )
    deviations[deviations < 1e-6] = 1.0
    return means.astype(np.float32), deviations.astype(np.float32)
