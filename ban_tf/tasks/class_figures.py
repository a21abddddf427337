"""Figures of classifiers for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ban_tf.metrics import classification
from ban_tf.report import plots


def of_generations(
    predictions: Sequence[np.ndarray], labels: np.ndarray, class_names: Sequence[str]
) -> Mapping[str, Mapping[int, Figure]]:
    """Returns the reliability diagram and the confusion matrix of each generation.

    Args:
        predictions: Each generation's log-probabilities `[examples, classes]`.
        labels: The true classes, integers `[examples]`.
        class_names: In the order of the classes.
    """
    diagrams, matrices = {}, {}
    for number, rows in enumerate(predictions):
        title = f"generation {number}"
        bins = classification.reliability(rows, labels)
        counts = classification.confusion_matrix(rows, labels)
        diagrams[number] = plots.reliability_diagrams({title: bins})
        matrices[number] = plots.confusion_matrix(counts, class_names, title)
    return {"reliability diagram": diagrams, "confusion matrix": matrices}
