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

from ban_tf.metrics import block_bootstrap, bootstrap, calibration, intervals

Scores = Mapping[str, np.ndarray]


def perplexity(scores: Scores) -> float:
    """Returns the exponential of the mean cross-entropy per word, in nats."""
    return float(np.exp(-np.mean(scores["log_probability"], dtype=np.float64)))


def perplexity_interval(scores: Scores) -> list[float] | None:
    """Returns the 95 % interval of perplexity over the choice of the text, `[low, high]`.

    Args:
        scores: The scores of each word's distribution, in the order of the text.

    Returns:
        The interval, by a bootstrap over blocks of words; None for fewer than two words.
    """
    losses = -np.asarray(scores["log_probability"], np.float64)
    if len(losses) < 2:
        return None
    return bootstrap.interval(np.exp(block_bootstrap.means(losses)))


def change_in_perplexity(scores: Scores, reference: Scores) -> dict[str, float] | None:
    """Returns the change of perplexity against a reference on the same text.

    Args:
        scores: The scores of each word's distribution, in the order of the text.
        reference: Those of generation 0.

    Returns:
        "difference", the ends "low" and "high" of its 95 % interval, and "p", by a bootstrap over
        blocks of words that are the same for both; None for fewer than two words.
    """
    losses = [-np.asarray(of_one["log_probability"], np.float64) for of_one in (scores, reference)]
    if len(losses[0]) < 2:
        return None
    ours, theirs = np.exp(block_bootstrap.means(np.stack(losses, axis=1))).T
    low, high = bootstrap.interval(ours - theirs)
    return {
        "difference": perplexity(scores) - perplexity(reference),
        "low": low,
        "high": high,
        "p": bootstrap.p_value(ours - theirs),
    }


def evaluate(scores: Scores, reference: Scores | None) -> dict[str, Any]:
    """Returns the metrics of `classification.evaluate`, and `perplexity`, with their uncertainty.

    That of perplexity, `interval` and `change`, is by a bootstrap over blocks of words.

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
        "interval": perplexity_interval(scores) or [perplexity(scores)] * 2,
        "change": None if reference is None else change_in_perplexity(scores, reference),
    }
