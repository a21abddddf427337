"""The section of `report.html` on classes: recall, precision and F1 of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ban_tf.metrics import classification
from ban_tf.metrics.table import METRICS
from ban_tf.report import document

_MOST = 30  # classes of a table; of more, those of the lowest F1


def by_class(
    named: Mapping[str, np.ndarray], labels: np.ndarray, class_names: Sequence[str]
) -> document.Section:
    """Returns the section: balanced accuracy of all, and each class of the first and the last.

    Args:
        named: Log-probabilities `[examples, classes]` by the name of a generation or ensemble.
        labels: The true classes, integers `[examples]`.
        class_names: In the order of the classes.
    """
    found = {name: classification.by_class(rows, labels) for name, rows in named.items()}
    metric = METRICS["balanced_accuracy"]
    together = [
        (name, metric.shown(classification.balanced_accuracy(table)))
        for name, table in found.items()
    ]
    blocks: list[document.Block] = [
        document.Paragraph(
            "Recall is the share of a class's examples that are found, precision the share of "
            "those found that are of the class, F1 their harmonic mean; balanced accuracy is the "
            "mean recall, in which rare classes count as much as common ones."
        ),
        document.table(metric.title, ("generation or ensemble", metric.label), together),
    ]
    for name in dict.fromkeys((next(iter(found)), list(found)[-1])):
        blocks.append(_table(name, found[name], class_names))
    return document.Section("Classes", blocks)


def _table(
    name: str, found: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> document.Table:
    order = np.arange(len(class_names))
    caption = f"Classes, by {name}"
    if len(order) > _MOST:
        tested = np.flatnonzero(found["support"])
        order = tested[np.argsort(found["f1"][tested], kind="stable")][:_MOST]
        caption += f": the {len(order)} of the lowest F1, of {len(class_names)}"
    headings = ("class", "recall (%)", "precision (%)", "F1 (%)", "test examples")
    rows = [
        (
            class_names[label],
            *(f"{100 * found[column][label]:.2f}" for column in ("recall", "precision", "f1")),
            str(found["support"][label]),
        )
        for label in order.tolist()
    ]
    return document.table(caption, headings, rows)
