"""The most likely classes of examples, as lines and as cells of the table that `predict` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Likely(NamedTuple):
    """The most likely classes of an example.

    Attributes:
        shown: The cells of its line: names and probabilities, the likeliest first.
        cells: Those of its row: the same with more digits; without a number of classes, the
            likeliest one and the probabilities of all.
    """

    shown: list[str]
    cells: list[Any]


def headings(class_names: Sequence[str], top: int | None) -> list[str]:
    """Returns the headings of `Likely.cells`.

    Args:
        class_names: In the order of the outputs.
        top: How many of the most likely classes; None for the likeliest and all probabilities.
    """
    if top is None:
        return ["class", *class_names]
    numbers = range(1, min(top, len(class_names)) + 1)
    return [f"{what} {number}" for number in numbers for what in ("class", "probability")]


def of(probabilities: np.ndarray, class_names: Sequence[str], top: int | None) -> Likely:
    """Returns the most likely classes of an example.

    Args:
        probabilities: `[classes]`.
        class_names: In the order of these.
        top: As for `headings`.
    """
    order = np.argsort(-probabilities, kind="stable")[: top or 1]
    found = [(class_names[label], probabilities[label]) for label in order]
    shown = [cell for name, p in found for cell in (name, f"{p:.4f}")]
    if top is None:
        return Likely(shown, [found[0][0], *(f"{p:.8g}" for p in probabilities)])
    return Likely(shown, [cell for name, p in found for cell in (name, f"{p:.8g}")])
