"""What chance reaches on the validation data, which a generation must exceed."""

from __future__ import annotations

import numpy as np


def of_accuracy(labels: np.ndarray) -> float | None:
    """Returns the 95th percentile of the accuracy of always predicting the most common class.

    None if there are so few labels that no accuracy is above it.
    """
    if not len(labels):
        return None
    share = np.bincount(labels).max() / len(labels)
    return _upper(share, share * (1.0 - share) / len(labels))


def of_balanced_accuracy(labels: np.ndarray) -> float | None:
    """Returns the 95th percentile of the balanced accuracy of guessing evenly.

    None if there are so few labels that no balanced accuracy is above it.
    """
    counts = np.bincount(labels[labels >= 0])
    counts = counts[counts > 0]
    if len(counts) < 2:
        return None
    share = 1.0 / len(counts)
    variance = share * (1.0 - share) * np.mean(1.0 / counts) / len(counts)
    return _upper(share, variance)


def of_label_accuracy(labels: np.ndarray) -> float | None:
    """Returns the 95th percentile of the share of right labels by always the same answer.

    Args:
        labels: Zeros and ones, integers `[examples, labels]`.

    Returns:
        None if there are so few examples that nothing is above it.
    """
    if not len(labels):
        return None
    most_common = labels.mean(axis=0) >= 0.5
    right = np.mean(labels == most_common, axis=1)  # the labels of an example belong together
    return _upper(right.mean(), right.var() / len(labels))


def of_mean_iou(labels: np.ndarray) -> float | None:
    """Returns the mean IoU of always predicting the most common class.

    Args:
        labels: The classes of pixels, integers `[pixels]`. None is returned if these are not at
            least two.
    """
    counts = np.bincount(labels)
    classes = np.count_nonzero(counts)
    # A little above it, for rounding.
    return float(counts.max() / counts.sum() / classes) + 1e-6 if classes > 1 else None


def _upper(mean: float, variance: float) -> float | None:
    found = float(mean + 1.645 * np.sqrt(variance))
    return found if found < 1.0 else None
