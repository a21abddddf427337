"""Which test examples one set of predictions gets right where another gets them wrong."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SHOWN = 12  # of each kind, for each generation


@dataclasses.dataclass(frozen=True)
class Change:
    """An example on which two sets of predictions do not agree.

    Attributes:
        index: Its number in the test set.
        label: The true class.
        before: The class predicted first.
        after: The class predicted then.
    """

    index: int
    label: int
    before: int
    after: int


class Changes(NamedTuple):
    """What one set of predictions newly gets right and newly gets wrong, the clearest first."""

    right: list[Change]
    wrong: list[Change]


def changes(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> Changes:
    """Compares two sets of predictions on the same examples.

    Args:
        before: Log-probabilities [examples, classes].
        after: Likewise.
        labels: The true classes, integers [examples].

    Returns:
        All examples that became right, and all that became wrong; those whose true class gained
        (or lost) the most probability come first.
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


def worth_showing(predictions: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Returns the examples, sorted, whose images a report of these generations shows.

    Args:
        predictions: Log-probabilities [examples, classes], one array for each generation.
        labels: The true classes, integers [examples].
    """
    indices: set[int] = set()
    for before, after in itertools.pairwise(predictions):
        for kind in changes(before, after, labels):
            indices.update(change.index for change in kind[:SHOWN])
    return np.array(sorted(indices), dtype=np.int64)
