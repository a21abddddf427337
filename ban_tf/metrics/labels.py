"""Metrics of classifiers with independent labels, of which several may hold for an example.

Predictions are log-odds of each label, or probabilities; a label is predicted where its probability
reaches its threshold. The mean average precision needs no thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from ban_tf.errors import InputError
from ban_tf.metrics import bootstrap, intervals
from ban_tf.metrics.ensembles import AVERAGES

DEFAULT_THRESHOLD = 0.5


def mean_probabilities(log_odds: Sequence[ArrayLike], average: str = "probabilities") -> np.ndarray:
    """Returns the probabilities of an ensemble, float64 `[examples, labels]`.

    Args:
        log_odds: Of each member, `[examples, labels]`.
        average: "probabilities" or "logits", of which the mean is taken.
    """
    if average not in AVERAGES:
        raise InputError(f"`average` must be one of {', '.join(AVERAGES)}. Received: {average!r}")
    members = np.asarray(log_odds, np.float64)
    if average == "logits":
        return special.expit(members.mean(axis=0))
    return special.expit(members).mean(axis=0)


def average_precision(probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Returns the average precision of each label, `[labels]`; NaN for one that never holds.

    It is the mean precision over the steps of recall; equal probabilities are one step.

    Args:
        probabilities: Or any scores, `[examples, labels]`.
        labels: Zeros and ones, `[examples, labels]`.
    """
    probabilities, labels = _pair(probabilities, labels)
    found = np.full(labels.shape[1], np.nan)
    for label in np.flatnonzero(labels.any(axis=0)):
        order = np.argsort(-probabilities[:, label], kind="stable")
        scores, hits = probabilities[order, label], np.cumsum(labels[order, label])
        last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of equal scores
        precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
        found[label] = np.sum(np.diff(recall, prepend=0.0) * precision)
    return found


def f1(predicted: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Returns the F1 score of each label, `[labels]`; 0 for one that is nowhere."""
    predicted, labels = _pair(predicted, labels, bool)
    hits = (predicted & labels).sum(axis=0)
    return _ratio(2 * hits, predicted.sum(axis=0) + labels.sum(axis=0))


def best_thresholds(probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Returns the threshold of each label with the highest F1 score, `[labels]`.

    It lies in the middle between two neighboring probabilities; of equally good ones the nearest to
    0.5 is taken. A label that never or always holds has 0.5.

    Args:
        probabilities: `[examples, labels]`, of validation data.
        labels: Zeros and ones, `[examples, labels]`.
    """
    probabilities, labels = _pair(probabilities, labels)
    found = np.full(probabilities.shape[1], DEFAULT_THRESHOLD)
    for label in range(labels.shape[1]):
        holds = labels[:, label]
        if not len(holds) or holds.min() == holds.max():
            continue
        order = np.argsort(-probabilities[:, label], kind="stable")
        scores, hits = probabilities[order, label], np.cumsum(holds[order])
        last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
        scores_f1 = 2 * hits[last] / (last + 1 + hits[-1])
        below = np.append(scores[last[1:]], 0.0)  # the next lower probability
        middles = (scores[last] + below) / 2
        best = np.flatnonzero(scores_f1 >= scores_f1.max() - 1e-12)
        found[label] = middles[best[np.argmin(np.abs(middles[best] - DEFAULT_THRESHOLD))]]
    return found


def evaluate(probabilities: ArrayLike, labels: ArrayLike, thresholds: ArrayLike) -> dict[str, Any]:
    """Returns the metrics of one model.

    Args:
        probabilities: `[examples, labels]`.
        labels: Zeros and ones, `[examples, labels]`.
        thresholds: Of each label, `[labels]`.

    Returns:
        "hamming_loss", the share of wrong labels; "micro_f1", of all labels together; "macro_f1",
        the mean of the labels; "mean_average_precision", of the labels that hold anywhere.
    """
    probabilities, labels = _pair(probabilities, labels)
    predicted, true = probabilities >= np.asarray(thresholds), labels.astype(bool)
    precision = average_precision(probabilities, labels)
    return {
        "examples": len(labels),
        "hamming_loss": float(np.mean(predicted != true)),
        "mean_average_precision": float(np.nanmean(precision)) if true.any() else 0.0,
        "micro_f1": float(_ratio(2 * (predicted & true).sum(), predicted.sum() + true.sum())),
        "macro_f1": float(f1(predicted, true).mean()),
    }


def by_label(
    probabilities: ArrayLike,
    labels: ArrayLike,
    thresholds: ArrayLike,
    reference: ArrayLike | None = None,
) -> dict[str, list[Any]]:
    """Returns what one model does for each label, and how that differs from a reference.

    Args:
        probabilities: `[examples, labels]`.
        labels: Zeros and ones, `[examples, labels]`.
        thresholds: Of each label, `[labels]`.
        reference: Which labels generation 0 predicts, bool `[examples, labels]`; None for itself.

    Returns:
        Lists with an entry for each label: "support", "threshold", "average_precision" (None for a
        label that never holds), "f1" and "error"; with a reference also "mcnemar_p", of McNemar's
        exact test, and "adjusted_p", which Benjamini and Hochberg's procedure adjusts for the
        number of labels.
    """
    probabilities, labels = _pair(probabilities, labels)
    predicted, true = probabilities >= np.asarray(thresholds), labels.astype(bool)
    precision = average_precision(probabilities, labels)
    found: dict[str, list[Any]] = {
        "support": true.sum(axis=0).tolist(),
        "threshold": np.asarray(thresholds, np.float64).tolist(),
        "average_precision": [None if np.isnan(value) else float(value) for value in precision],
        "f1": f1(predicted, true).tolist(),
        "error": (predicted != true).mean(axis=0).tolist(),
    }
    if reference is not None:
        right, right_before = predicted == true, np.asarray(reference, bool) == true
        p_values = [
            intervals.mcnemar(right[:, label], right_before[:, label])
            for label in range(true.shape[1])
        ]
        found["mcnemar_p"] = p_values
        found["adjusted_p"] = stats.false_discovery_control(p_values).tolist()
    return found


def rows(
    probabilities: Sequence[np.ndarray], labels: np.ndarray, thresholds: Sequence[ArrayLike]
) -> list[dict[str, Any]]:
    """Returns the rows of a summary: the metrics of each model, and its change against the first.

    The interval of the Hamming loss is from resampled examples, by which it is also compared.

    Args:
        probabilities: Of each model `[examples, labels]`; the first is generation 0.
        labels: Zeros and ones, `[examples, labels]`.
        thresholds: Of each model `[labels]`.
    """
    predicted = [p >= np.asarray(t) for p, t in zip(probabilities, thresholds, strict=True)]
    wrong = np.stack([np.mean(found != labels.astype(bool), axis=1) for found in predicted], axis=1)
    resampled = bootstrap.means(wrong)
    found = []
    for index, (rows, chosen) in enumerate(zip(probabilities, thresholds, strict=True)):
        row = evaluate(rows, labels, chosen)
        row["interval"] = bootstrap.interval(resampled[:, index])
        row["change"] = None
        if index:
            now, before = (float(wrong[:, number].mean()) for number in (index, 0))
            row["change"] = bootstrap.change(now, before, resampled[:, index], resampled[:, 0])
        row["by_label"] = by_label(rows, labels, chosen, predicted[0] if index else None)
        found.append(row)
    return found


def _pair(first: ArrayLike, labels: ArrayLike, dtype: Any = None) -> tuple[np.ndarray, np.ndarray]:
    first, labels = np.asarray(first, dtype), np.asarray(labels, dtype)
    if first.ndim != 2 or first.shape != labels.shape:
        raise InputError(
            "Predictions and labels must have one shape, [examples, labels]. Received: shapes "
            f"{first.shape} and {labels.shape}."
        )
    return first, labels


def _ratio(part: ArrayLike, whole: ArrayLike) -> Any:
    """Returns a ratio, 0 where there is nothing."""
    whole = np.asarray(whole)
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)
