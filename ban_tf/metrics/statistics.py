"""The numbers that a reviewer would ask for, in float64 NumPy and SciPy.

First what one set of predictions is worth (`evaluate`, `reliability`, `confusion_matrix`),
then how two sets compare on the same examples (`agreement`, `mcnemar`, `paired_difference`),
what several give together (`mean_log_probabilities`), and at last intervals: of one proportion
and over repetitions with other seeds.

Predictions are log-probabilities [examples, classes] everywhere, because they keep the small
probabilities that a negative log-likelihood is made of. Nothing is corrected for multiple
comparisons: the functions know one comparison at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from ban_tf.errors import InputError

AVERAGES = ("probabilities", "logits")


class MeanInterval(NamedTuple):
    """A mean over repetitions, their standard deviation, and the mean's interval."""

    mean: float
    standard_deviation: float
    low: float
    high: float


def evaluate(log_probabilities: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Measures predictions against labels.

    Args:
        log_probabilities: Normalised log-probabilities [examples, classes].
        labels: The true classes, integers [examples].

    Returns:
        examples (an integer), error and accuracy (fractions), negative_log_likelihood (mean, in
        nats), expected_calibration_error (15 bins), brier_score (summed over classes, 0 to 2)
        and confidence (the mean probability of the predicted class).

    Raises:
        InputError: If shapes or label values do not fit, or rows are not distributions.

    References:
        Guo et al., 2017, "On Calibration of Modern Neural Networks", eq. 3.
        Brier, 1950, "Verification of Forecasts Expressed in Terms of Probability".
    """
    log_probabilities, labels = _checked(log_probabilities, labels)
    examples = len(labels)
    rows = np.arange(examples)
    wrong = int(np.sum(log_probabilities.argmax(axis=-1) != labels))
    residual = np.exp(log_probabilities)
    confidence = float(residual.max(axis=-1).mean())
    residual[rows, labels] -= 1.0
    bins = reliability(log_probabilities, labels)
    gap = np.abs(np.nan_to_num(bins["accuracy"] - bins["confidence"]))
    return {
        "examples": examples,
        "error": wrong / examples,
        "accuracy": (examples - wrong) / examples,
        "negative_log_likelihood": float(-log_probabilities[rows, labels].mean()),
        "expected_calibration_error": float(np.sum(bins["count"] * gap) / examples),
        "brier_score": float(np.square(residual).sum(axis=-1).mean()),
        "confidence": confidence,
    }


def reliability(
    log_probabilities: ArrayLike, labels: ArrayLike, bins: int = 15
) -> dict[str, np.ndarray]:
    """Sorts examples by confidence into equal-width bins, closed on the right.

    Args:
        log_probabilities: Normalised log-probabilities [examples, classes].
        labels: The true classes, integers [examples].
        bins: How many bins divide (0, 1].

    Returns:
        count, integers [bins], and confidence and accuracy, float64 [bins]: the means within
        each bin, NaN where a bin is empty.

    Raises:
        InputError: If shapes or label values do not fit, or rows are not distributions.
    """
    log_probabilities, labels = _checked(log_probabilities, labels)
    confidence = np.exp(log_probabilities.max(axis=-1))
    correct = log_probabilities.argmax(axis=-1) == labels
    inner_edges = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    place = np.searchsorted(inner_edges, confidence, side="left")
    count = np.bincount(place, minlength=bins)
    filled = np.where(count > 0, count, np.nan)
    return {
        "count": count,
        "confidence": np.bincount(place, weights=confidence, minlength=bins) / filled,
        "accuracy": np.bincount(place, weights=correct, minlength=bins) / filled,
    }


def confusion_matrix(log_probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Counts examples by true class (rows) and predicted class (columns).

    Args:
        log_probabilities: Normalised log-probabilities [examples, classes].
        labels: The true classes, integers [examples].

    Returns:
        Integer counts [classes, classes].
    """
    log_probabilities, labels = _checked(log_probabilities, labels)
    classes = log_probabilities.shape[1]
    cell = labels * classes + log_probabilities.argmax(axis=-1)
    return np.bincount(cell, minlength=classes**2).reshape(classes, classes)


def agreement(a: ArrayLike, b: ArrayLike) -> float:
    """The fraction of examples for which two [examples, classes] predict the same class."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 2:
        raise InputError(
            "Agreement needs two arrays of one shape [examples, classes]. "
            f"Received: shapes {a.shape} and {b.shape}."
        )
    return float(np.mean(a.argmax(axis=-1) == b.argmax(axis=-1)))


def pairwise_disagreement(members: Sequence[ArrayLike]) -> np.ndarray:
    """How diverse members are: for which part of the examples two of them disagree.

    Args:
        members: Log-probabilities [examples, classes], one array for each member.

    Returns:
        Fractions [members, members], symmetric with a diagonal of zeros.

    References:
        Kuncheva and Whitaker, 2003, "Measures of Diversity in Classifier Ensembles".
    """
    return np.array([[1.0 - agreement(a, b) for b in members] for a in members])


def mean_log_probabilities(
    members: Sequence[ArrayLike], average: str = "probabilities"
) -> np.ndarray:
    """The predictions of an ensemble (BANE; Furlanello et al., 2018).

    Args:
        members: Log-probabilities [examples, classes], one array for each member.
        average: "probabilities" for the mean of the distributions, "logits" for the normalised
            mean of the log-probabilities.

    Returns:
        Log-probabilities, float64 [examples, classes].

    Raises:
        InputError: If there is no member, their shapes differ, or `average` is unknown.
    """
    if average not in AVERAGES:
        raise InputError(f"`average` must be one of {', '.join(AVERAGES)}. Received: {average!r}.")
    shapes = {np.shape(member) for member in members}
    if len(shapes) != 1:
        raise InputError(
            "An ensemble needs members of one shape [examples, classes]. "
            f"Received: {len(members)} members of shapes {sorted(shapes)}."
        )
    stacked = np.stack([np.asarray(member, np.float64) for member in members])
    if average == "probabilities":
        # The logarithm of a mean of exponentials, without leaving the logarithms.
        return special.logsumexp(stacked, axis=0) - np.log(len(stacked))
    return special.log_softmax(stacked.mean(axis=0), axis=-1)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval (low, high) of a proportion."""
    interval = stats.binomtest(int(successes), int(trials)).proportion_ci(
        confidence_level=confidence, method="wilson"
    )
    return float(interval.low), float(interval.high)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> float:
    """The two-sided p-value of McNemar's exact test on paired outcomes.

    Args:
        correct_a: Which examples the first got right, booleans [examples].
        correct_b: The same for the second.

    Returns:
        The p-value; 1.0 where no example tells the two apart.

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
    """The difference of two error rates on the same examples, with its interval.

    The interval is Agresti and Min's: Wald's formula after half an example has been added to
    each cell of the two-by-two table. Unlike the plain Wald interval it keeps its coverage where
    few examples tell the two apart, and it has a width even where none does.

    Args:
        wrong_a: Which examples the first got wrong, booleans [examples].
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
    centre = (adjusted_a - adjusted_b) / adjusted_examples
    variance = ((adjusted_a + adjusted_b) / adjusted_examples - centre**2) / adjusted_examples
    half_width = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt(variance)
    return (
        (only_a - only_b) / examples,
        float(max(centre - half_width, -1.0)),
        float(min(centre + half_width, 1.0)),
    )


def change_in_error(wrong: np.ndarray, reference_wrong: np.ndarray) -> dict[str, Any]:
    """The change of an error against a reference on the same examples, as summaries keep it.

    Args:
        wrong: Which examples are wrong, booleans [examples].
        reference_wrong: Which of them the reference has wrong, booleans [examples].

    Returns:
        "difference", "low" and "high" of `paired_difference`, "mcnemar_p", and "significant", which
        both have to agree on.
    """
    difference, low, high = paired_difference(wrong, reference_wrong)
    p_value = mcnemar(~wrong, ~reference_wrong)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "mcnemar_p": p_value,
        "significant": bool((low > 0 or high < 0) and p_value < 0.05),
    }


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> MeanInterval:
    """The mean over repetitions (seeds) with Student's t interval.

    Args:
        values: One number for each repetition [repetitions], two at least.
        confidence: The nominal coverage of the interval.

    Raises:
        InputError: If there are fewer than two values.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise InputError(
            "An interval over seeds needs a list of two values at least. "
            f"Received: an array of shape {values.shape}."
        )
    mean, deviation = values.mean(), values.std(ddof=1)
    quantile = stats.t.ppf(0.5 + confidence / 2, len(values) - 1)
    half_width = quantile * deviation / np.sqrt(len(values))
    return MeanInterval(
        float(mean), float(deviation), float(mean - half_width), float(mean + half_width)
    )


def paired_gain(values: ArrayLike, baselines: ArrayLike, confidence: float = 0.95) -> MeanInterval:
    """`mean_interval` of `values - baselines`, paired by seed [repetitions]."""
    values, baselines = np.asarray(values, np.float64), np.asarray(baselines, np.float64)
    if values.shape != baselines.shape:
        raise InputError(
            "Each value needs the baseline of its own seed. "
            f"Received: shapes {values.shape} and {baselines.shape}."
        )
    return mean_interval(values - baselines, confidence)


def _discordant(a: ArrayLike, b: ArrayLike) -> tuple[int, int, int]:
    """Returns how many are true only in a, how many only in b, and the number of examples."""
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise InputError(
            "Paired outcomes must be two arrays of one shape [examples], not empty. "
            f"Received: shapes {a.shape} and {b.shape}."
        )
    return int(np.sum(a & ~b)), int(np.sum(b & ~a)), len(a)


def _checked(log_probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as float64 and int64 arrays, or says what is wrong with them."""
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
            f"`labels` must be {examples} integers, one for each example. "
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
