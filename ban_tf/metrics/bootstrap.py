"""Intervals and p-values by resampling examples, for metrics that are no proportions.

All models are measured on the same resamples, so that their differences are paired by example.
The resamples follow from a seed: a report that is written again has the same intervals.

References:
    Efron and Tibshirani, 1993, "An Introduction to the Bootstrap", chapters 13 and 16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ban_tf.errors import InputError

RESAMPLES = 2000
_AT_A_TIME = 2**22  # counts in memory


def means(values: ArrayLike, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Returns the means of columns over resampled examples, float64 `[resamples, columns]`.

    Args:
        values: `[examples, columns]`; a resample takes the same examples of each column.
        seed: The seed of the resamples.
        resamples: Their number.

    Raises:
        InputError: The values have another shape, or there are none.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.size:
        raise InputError(
            f"`values` must be [examples, columns], not empty. Received: shape {values.shape}."
        )
    examples = len(values)
    # A product of matrices takes the means of many resamples.
    return np.concatenate(
        [counts @ values / examples for counts in drawn(examples, seed, resamples)]
    )


def drawn(examples: int, seed: int = 0, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """Yields how often resamples have each example, float64 `[some resamples, examples]`."""
    generator = np.random.default_rng(seed)
    for size in sizes(examples, resamples):
        counts = generator.multinomial(examples, np.full(examples, 1.0 / examples), size=size)
        yield counts.astype(np.float64)


def sizes(examples: int, resamples: int = RESAMPLES) -> Iterator[int]:
    """Yields numbers of resamples whose counts fit into memory together, in all `resamples`."""
    size = max(1, _AT_A_TIME // max(1, examples))
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def interval(resampled: ArrayLike, confidence: float = 0.95) -> list[float]:
    """Returns the percentile interval of a metric, `[low, high]`.

    Args:
        resampled: The metric on each resample, `[resamples]`.
        confidence: The nominal coverage of the interval.
    """
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(np.asarray(resampled, np.float64), [tail, 100.0 - tail])
    return [float(low), float(high)]


def change(now: float, before: float, resampled: ArrayLike, reference: ArrayLike) -> dict[str, Any]:
    """Returns the change of a metric against a reference on the same examples, for summaries.

    Args:
        now: The metric.
        before: The metric of the reference.
        resampled: The metric on each resample, `[resamples]`.
        reference: That of the reference on the same resamples.

    Returns:
        "difference", the ends of its interval, "low" and "high", and the two-sided "p": twice the
        share of the resamples on the other side of zero, at least 2 / (resamples + 1).
    """
    differences = np.asarray(resampled, np.float64) - np.asarray(reference, np.float64)
    low, high = interval(differences)
    difference = float(now - before)
    return {"difference": difference, "low": low, "high": high, "p": p_value(differences)}


def p_value(differences: np.ndarray) -> float:
    """Returns the two-sided p-value of a resampled difference: how often its sign is another."""
    tails = [np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0)]
    return float(min(1.0, 2.0 * (min(tails) + 1) / (len(differences) + 1)))
