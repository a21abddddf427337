"""Finds test examples to show: on which generations differ, and confident mistakes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

SHOWN = 12  # of each kind, per generation


@dataclasses.dataclass(frozen=True)
class Change:
    """An example on which two sets of predictions disagree.

    Attributes:
        index: Its number in the test set.
        label: The true class.
        before: The class predicted before.
        after: The class predicted afterwards.
    """

    index: int
    label: int
    before: int
    after: int


class Changes(NamedTuple):
    """The examples that are newly right and newly wrong, the clearest first."""

    fixed: list[Change]
    regressed: list[Change]


def changes(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> Changes:
    """Compares two sets of predictions on the same examples.

    Args:
        before: Log-probabilities [examples, classes].
        after: Likewise.
        labels: The true classes, integers [examples].

    Returns:
        All examples that became right, and all that became wrong, sorted by the gain (or loss) of
        probability of the true class.
    """
    rows = np.arange(len(labels))
    gain = np.exp(after[rows, labels]) - np.exp(before[rows, labels])
    first, then = before.argmax(axis=-1), after.argmax(axis=-1)

    def listed(chosen: np.ndarray, order: np.ndarray) -> list[Change]:
        return [
            Change(int(index), int(labels[index]), int(first[index]), int(then[index]))
            for index in order
            if chosen[index]
        ]

    return Changes(
        listed((first != labels) & (then == labels), np.argsort(-gain, kind="stable")),
        listed((first == labels) & (then != labels), np.argsort(gain, kind="stable")),
    )


def confident_mistakes(predictions: np.ndarray, labels: np.ndarray) -> list[int]:
    """Returns the indices of the wrong predictions of the highest probability, at most `SHOWN`.

    Args:
        predictions: Log-probabilities [examples, classes].
        labels: The true classes, integers [examples].
    """
    order = np.argsort(-predictions.max(axis=-1), kind="stable")
    wrong = predictions.argmax(axis=-1) != labels
    return [int(index) for index in order[wrong[order]][:SHOWN]]


def confident_label_mistakes(
    log_odds: np.ndarray, labels: np.ndarray, thresholds: np.ndarray
) -> list[tuple[int, int]]:
    """Returns the wrong labels that are farthest from their thresholds, at most `SHOWN`.

    Args:
        log_odds: [examples, labels].
        labels: Zeros and ones [examples, labels].
        thresholds: Probabilities from which labels are predicted [labels].

    Returns:
        Pairs of an example and a label.
    """
    probabilities = special.expit(log_odds)
    wrong = (probabilities >= thresholds) != labels.astype(bool)
    distance = np.where(wrong, np.abs(probabilities - labels), -1.0)
    order = np.argsort(-distance, axis=None, kind="stable")[:SHOWN]
    pairs = [np.unravel_index(place, wrong.shape) for place in order]
    return [(int(example), int(label)) for example, label in pairs if wrong[example, label]]


def largest_residuals(predictions: np.ndarray, targets: np.ndarray) -> list[int]:
    """Returns the indices of the numbers that are farthest from the truth, at most `SHOWN`.

    Args:
        predictions: Numbers [examples].
        targets: The true ones [examples].
    """
    return np.argsort(-np.abs(predictions - targets), kind="stable")[:SHOWN].tolist()


def select_examples(predictions: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Returns the sorted indices of the examples whose images a report of these generations shows.

    Args:
        predictions: Log-probabilities [examples, classes], one array per generation.
        labels: The true classes, integers [examples].
    """
    indices: set[int] = set()
    for before, after in itertools.pairwise(predictions):
        for kind in changes(before, after, labels):
            indices.update(change.index for change in kind[:SHOWN])
    indices.update(confident_mistakes(predictions[-1], labels))
    return np.array(sorted(indices), dtype=np.int64)
