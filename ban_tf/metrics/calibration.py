"""Reliability bins, and the expected calibration error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

BINS = 15


def reliability(
    confidence: ArrayLike, correct: ArrayLike, bins: int = BINS
) -> dict[str, np.ndarray]:
    """Sorts examples by confidence into equal-width bins, closed on the right.

    Args:
        confidence: The probability of the predicted class [examples].
        correct: Which predictions are correct, booleans [examples].
        bins: The number of bins that divide (0, 1].

    Returns:
        count, integers [bins], and confidence and accuracy, float64 [bins]: the means within
        each bin, NaN if a bin is empty.
    """
    inner_edges = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    place = np.searchsorted(inner_edges, confidence, side="left")
    count = np.bincount(place, minlength=bins)
    filled = np.where(count > 0, count, np.nan)
    return {
        "count": count,
        "confidence": np.bincount(place, weights=confidence, minlength=bins) / filled,
        "accuracy": np.bincount(place, weights=correct, minlength=bins) / filled,
    }


def expected_calibration_error(
    confidence: ArrayLike, correct: ArrayLike, bins: int = BINS
) -> float:
    """Returns the mean gap between confidence and accuracy, over bins weighted by their examples.

    Args:
        confidence: The probability of the predicted class [examples].
        correct: Which predictions are correct, booleans [examples].
        bins: The number of bins that divide (0, 1].

    References:
        Guo et al., 2017, "On Calibration of Modern Neural Networks", eq. 3.
    """
    found = reliability(confidence, correct, bins)
    gap = np.abs(np.nan_to_num(found["accuracy"] - found["confidence"]))
    return float(np.sum(found["count"] * gap) / np.sum(found["count"]))
