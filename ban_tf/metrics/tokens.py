"""Metrics of language models, from scores of each word's distribution.

Distributions over all words are too large to store. For each word of a text there are arrays
`[words]`: the `log_probability` of the actual word, whether it was not the most likely one
(`wrong`), the probability of the most likely one (`confidence`), and the `sum_of_squares` of all
probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ban_tf.metrics import calibration, intervals

Scores = Mapping[str, np.ndarray]


def perplexity(scores: Scores) -> float:
    """Returns the exponential of the mean cross-entropy per word, in nats."""
    return float(np.exp(-np.mean(scores["log_probability"], dtype=np.float64)))


def perplexity_interval(scores: Scores, window: int = 35) -> list[float] | None:
    """Returns the 95 % interval of perplexity over the choice of the text, `[low, high]`.

    Args:
        scores: The scores of each word's distribution.
        window: Number of neighboring words that count as one observation, since they are not
            independent.

    Returns:
        The interval; None for fewer than two words.
    """
    losses = -np.asarray(scores["log_probability"], np.float64)
    if len(losses) < 2:
        return None
    windows = [part.mean() for part in np.array_split(losses, max(2, len(losses) // window))]
    interval = intervals.mean_interval(windows)
    return [float(np.exp(interval.low)), float(np.exp(interval.high))]


def evaluate(scores: Scores, reference: Scores | None) -> dict[str, Any]:
    """Returns the metrics of `classification.evaluate`, their uncertainty, and `perplexity`.

    Args:
        scores: The scores of each word's distribution.
        reference: The scores of generation 0, to compare with; None for generation 0 itself.
    """
    scores = {name: np.asarray(values, np.float64) for name, values in scores.items()}
    wrong, confidence = scores["wrong"].astype(bool), scores["confidence"]
    change = None
    if reference is not None:
        change = intervals.change_in_error(wrong, np.asarray(reference["wrong"], bool))
    return {
        "examples": len(wrong),
        "error": float(np.mean(wrong)),
        "accuracy": float(1.0 - np.mean(wrong)),
        "negative_log_likelihood": float(-np.mean(scores["log_probability"])),
        "expected_calibration_error": calibration.expected_calibration_error(confidence, ~wrong),
        "brier_score": float(
            np.mean(scores["sum_of_squares"] - 2.0 * np.exp(scores["log_probability"]) + 1.0)
        ),
        "confidence": float(np.mean(confidence)),
        "error_interval": list(intervals.wilson_interval(int(wrong.sum()), len(wrong))),
        "change_in_error": change,
        "perplexity": perplexity(scores),
    }
