"""Intervals and tests for one proportion, for paired outcomes, and over seeds.

Each function treats one comparison, except `judge`, which decides on the significance of several
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ban_tf.errors import InputError

LEVEL = 0.05  # significance level


class MeanInterval(NamedTuple):
    """A mean over repetitions, their standard deviation, and the interval of the mean."""

    mean: float
    standard_deviation: float
    low: float
    high: float


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns the Wilson score interval (low, high) of a proportion."""
    interval = stats.binomtest(int(successes), int(trials)).proportion_ci(
        confidence_level=confidence, method="wilson"
    )
    return float(interval.low), float(interval.high)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """Returns the two-sided p-value of McNemar's exact test on paired outcomes.

    Args:
        correct_a: Which examples the first classifies correctly, booleans [examples].
        correct_b: The same for the second.

    Returns:
        The p-value; 1.0 if there are no discordant examples.

    References:
        McNemar, 1947, "Note on the sampling error of the difference between correlated
        proportions or percentages".
    """
    only_a, only_b, _ = _discordant(correct_a, correct_b)
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)


def paired_difference(
    wrong_a: ArrayLike, wrong_b: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Returns the difference of two error rates on the same examples, with its interval.

    The interval is Agresti and Min's: Wald's formula after adding half an example to each cell of
    the two-by-two table. Unlike the plain Wald interval it keeps its coverage with few discordant
    examples, and has a width even without any.

    Args:
        wrong_a: Which examples the first classifies incorrectly, booleans [examples].
        wrong_b: The same for the second.
        confidence: The nominal coverage of the interval.

    Returns:
        The rate of a minus the rate of b, and the lower and upper end of its interval.

    References:
        Agresti and Min, 2005, "Simple improved confidence intervals for comparing matched
        proportions", Statistics in Medicine 24.
    """
    only_a, only_b, examples = _discordant(wrong_a, wrong_b)
    adjusted_a, adjusted_b, adjusted_examples = only_a + 0.5, only_b + 0.5, examples + 2
    center = (adjusted_a - adjusted_b) / adjusted_examples
    variance = ((adjusted_a + adjusted_b) / adjusted_examples - center**2) / adjusted_examples
    half_width = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt(variance)
    return (
        (only_a - only_b) / examples,
        float(max(center - half_width, -1.0)),
        float(min(center + half_width, 1.0)),
    )


def change_in_error(wrong: np.ndarray, reference_wrong: np.ndarray) -> dict[str, Any]:
    """Returns the change of an error against a reference on the same examples, for summaries.

    Args:
        wrong: Which predictions are wrong, booleans [examples].
        reference_wrong: Which predictions of the reference are wrong, booleans [examples].

    Returns:
        "difference", "low" and "high" of `paired_difference`, "mcnemar_p", and the entries of
        `judge` for this change alone.
    """
    difference, low, high = paired_difference(wrong, reference_wrong)
    change = {
        "difference": difference,
        "low": low,
        "high": high,
        "mcnemar_p": mcnemar(~wrong, ~reference_wrong),
    }
    judge([change], "mcnemar_p")
    return change


def judge(changes: Sequence[dict[str, Any]], p_value: str = "p_value") -> None:
    """Decides which of several changes are significant, adjusting for their number.

    The p-values are adjusted by Benjamini and Hochberg's procedure: of the changes that are called
    significant, no more than 5 % are expected to be false. That holds for independent changes, and
    for changes that share a baseline and are therefore positively correlated.

    Args:
        changes: Each with "low" and "high", its own interval, and its own p-value. "adjusted_p" is
            added, and "significant": both the interval and the adjusted p-value must be.
        p_value: The name of the p-value.

    References:
        Benjamini and Hochberg, 1995, "Controlling the false discovery rate: a practical and
        powerful approach to multiple testing".
    """
    if not changes:
        return
    adjusted = stats.false_discovery_control([change[p_value] for change in changes])
    for change, adjusted_p in zip(changes, adjusted, strict=True):
        change["adjusted_p"] = float(adjusted_p)
        leaves_out_zero = change["low"] > 0 or change["high"] < 0
        change["significant"] = bool(leaves_out_zero and adjusted_p < LEVEL)


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> MeanInterval:
    """Returns the mean over repetitions (seeds) with Student's t interval.

    Args:
        values: One value per repetition [repetitions], at least two.
        confidence: The nominal coverage of the interval.

    Raises:
        InputError: If there are fewer than two values.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise InputError(
            "An interval over seeds needs a list of at least two values. "
            f"Received: an array of shape {values.shape}."
        )
    mean, deviation = values.mean(), values.std(ddof=1)
    quantile = stats.t.ppf(0.5 + confidence / 2, len(values) - 1)
    half_width = quantile * deviation / np.sqrt(len(values))
    return MeanInterval(
        float(mean), float(deviation), float(mean - half_width), float(mean + half_width)
    )


def paired_gain(values: ArrayLike, baselines: ArrayLike, confidence: float = 0.95) -> MeanInterval:
    """Returns `mean_interval` of `values - baselines`, paired by seed [repetitions]."""
    values, baselines = np.asarray(values, np.float64), np.asarray(baselines, np.float64)
    if values.shape != baselines.shape:
        raise InputError(
            "Each value needs the baseline of its own seed. "
            f"Received: shapes {values.shape} and {baselines.shape}."
        )
    return mean_interval(values - baselines, confidence)


def paired_p_value(values: ArrayLike, baselines: ArrayLike) -> float:
    """Returns the two-sided p-value of Student's t test on pairs, one per seed [repetitions].

    If all differences are equal, there is no variance to compare them with; the p-value is then 1.
    """
    differences = np.asarray(values, np.float64) - np.asarray(baselines, np.float64)
    if np.ptp(differences) == 0:
        return 1.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _discordant(a: ArrayLike, b: ArrayLike) -> tuple[int, int, int]:
    """Returns how many are true only in a, how many only in b, and the number of examples."""
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise InputError(
            "Paired outcomes must be two arrays of one shape [examples], not empty. "
            f"Received: shapes {a.shape} and {b.shape}."
        )
    return int(np.sum(a & ~b)), int(np.sum(b & ~a)), len(a)
