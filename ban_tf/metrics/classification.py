"""Metrics of one set of predictions.

Predictions are log-probabilities [examples, classes] everywhere, because these represent the small
probabilities that dominate the negative log-likelihood.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ban_tf.errors import InputError
from ban_tf.metrics import calibration


def evaluate(log_probabilities: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Evaluates predictions against labels.

    Args:
        log_probabilities: Normalized log-probabilities [examples, classes].
        labels: The true classes, integers [examples].

    Returns:
        examples (an integer), error and accuracy (fractions), balanced_accuracy (the mean recall
        of the classes), negative_log_likelihood (mean, in nats), expected_calibration_error (15
        bins), brier_score (summed over classes, 0 to 2) and confidence (the mean probability of
        the predicted class).

    Raises:
        InputError: If shapes or label values do not fit, or rows are not distributions.

    References:
        Guo et al., 2017, "On Calibration of Modern Neural Networks", eq. 3.
        Brier, 1950, "Verification of Forecasts Expressed in Terms of Probability".
    """
    log_probabilities, labels = _checked(log_probabilities, labels)
    examples = len(labels)
    correct = log_probabilities.argmax(axis=-1) == labels
    wrong = int(np.sum(~correct))
    confidence = np.exp(log_probabilities.max(axis=-1))
    # Not scikit-learn's `log_loss`, which clips probabilities at 2e-16.
    likelihoods = log_probabilities[np.arange(examples), labels]
    return {
        "examples": examples,
        "error": wrong / examples,
        "accuracy": (examples - wrong) / examples,
        "balanced_accuracy": balanced_accuracy(by_class(log_probabilities, labels)),
        "negative_log_likelihood": float(-likelihoods.mean()),
        "expected_calibration_error": calibration.expected_calibration_error(confidence, correct),
        "brier_score": _brier_score(log_probabilities, labels),
        "confidence": float(confidence.mean()),
    }


def _brier_score(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    from sklearn import metrics  # late, since the import takes a second

    # Due to rounding, especially of float32 logarithms, they only nearly sum to 1.
    probabilities = np.exp(log_probabilities)
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    classes = range(log_probabilities.shape[1])
    return metrics.brier_score_loss(labels, probabilities, labels=classes, scale_by_half=False)


def reliability(
    log_probabilities: ArrayLike, labels: ArrayLike, bins: int = calibration.BINS
) -> dict[str, np.ndarray]:
    """Sorts examples by confidence into bins; see `calibration.reliability`.

    Args:
        log_probabilities: Normalized log-probabilities [examples, classes].
        labels: The true classes, integers [examples].
        bins: The number of bins that divide (0, 1].

    Raises:
        InputError: If shapes or label values do not fit, or rows are not distributions.
    """
    log_probabilities, labels = _checked(log_probabilities, labels)
    correct = log_probabilities.argmax(axis=-1) == labels
    return calibration.reliability(np.exp(log_probabilities.max(axis=-1)), correct, bins)


def by_class(log_probabilities: ArrayLike, labels: ArrayLike) -> dict[str, np.ndarray]:
    """Evaluates the predictions of each class.

    Args:
        log_probabilities: Normalized log-probabilities [examples, classes].
        labels: The true classes, integers [examples].

    Returns:
        precision, recall and f1 (fractions, zero where nothing is predicted or true) and support
        (the number of examples), all [classes].
    """
    from sklearn import metrics

    log_probabilities, labels = _checked(log_probabilities, labels)
    classes = list(range(log_probabilities.shape[1]))
    found = metrics.precision_recall_fscore_support(
        labels, log_probabilities.argmax(axis=-1), labels=classes, zero_division=0
    )
    return dict(zip(("precision", "recall", "f1", "support"), found, strict=True))


def balanced_accuracy(found: Mapping[str, np.ndarray]) -> float:
    """Returns the mean recall of the classes that have examples, given the result of `by_class`."""
    return float(found["recall"][found["support"] > 0].mean())


def confusion_matrix(log_probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Counts examples by true class (rows) and predicted class (columns).

    Args:
        log_probabilities: Normalized log-probabilities [examples, classes].
        labels: The true classes, integers [examples].

    Returns:
        Integer counts [classes, classes].
    """
    from sklearn import metrics

    log_probabilities, labels = _checked(log_probabilities, labels)
    predicted = log_probabilities.argmax(axis=-1)
    return metrics.confusion_matrix(labels, predicted, labels=range(log_probabilities.shape[1]))


def _checked(log_probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as float64 and int64 arrays; raises an error if they are invalid."""
    log_probabilities = np.asarray(log_probabilities, np.float64)
    labels = np.asarray(labels)
    if log_probabilities.ndim != 2 or not log_probabilities.size:
        raise InputError(
            "`log_probabilities` must be [examples, classes], not empty. "
            f"Received: shape {log_probabilities.shape}."
        )
    examples, classes = log_probabilities.shape
    if labels.shape != (examples,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"`labels` must be {examples} integers, one per example. "
            f"Received: shape {labels.shape}, dtype {labels.dtype}."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"`labels` must lie in 0..{classes - 1}, as there are {classes} classes. "
            f"Received: values from {labels.min()} to {labels.max()}."
        )
    totals = np.exp(log_probabilities).sum(axis=-1)
    if not np.all(np.abs(totals - 1.0) < 1e-3):
        raise InputError(
            "`log_probabilities` must be finite logarithms of distributions: each row's "
            f"exponentials sum to 1. Received: sums from {totals.min():.6g} to {totals.max():.6g}."
        )
    return log_probabilities, labels.astype(np.int64)
