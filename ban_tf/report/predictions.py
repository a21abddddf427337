"""`predictions.csv`: what each generation and the ensemble predict for each test example."""

from __future__ import annotations

import numpy as np

from ban_tf.metrics import segmentation
from ban_tf.report.content import (
    ClassContent,
    Content,
    LabelContent,
    NumberContent,
    SegmentationContent,
)
from ban_tf.system import csv_tables, shown

FILE = "predictions.csv"


def has_table(content: Content) -> bool:
    """Returns whether the predictions of a run are kept, so that there is a table of them."""
    return isinstance(content, (ClassContent, LabelContent, NumberContent, SegmentationContent))


def write(content: Content) -> bytes | None:
    """Returns the table as CSV that is safe for spreadsheets.

    A row has the file of a test example, or the number of its row in a table (or of the example, if
    it comes from neither; the only ones that count from 0), its label, and
    the predicted class and its probability, or the predicted number, by every model. Of several
    labels it has those that hold, those that every model predicts, and all probabilities by the
    last model; of masks, the mean IoU and the pixel accuracy of every model.

    Args:
        content: The content of the report.

    Returns:
        None for a run of another kind, or one that keeps no predictions.
    """
    names: tuple[str, ...] | None = None
    if isinstance(content, LabelContent):
        names, (headings, columns) = content.names, _of_labels(content)
    elif isinstance(content, ClassContent):
        names, (headings, columns) = content.names, _of_classes(content)
    elif isinstance(content, SegmentationContent):
        names, (headings, columns) = content.segments.files, _of_masks(content)
    elif isinstance(content, NumberContent):
        names, (headings, columns) = content.names, _of_numbers(content)
    else:
        return None
    examples = names or range(len(columns[0]))
    headings = [content.noun if names else "example", *headings]
    columns = [[shown.escaped(example) for example in examples], *columns]
    table = csv_tables.for_spreadsheets(headings, zip(*columns, strict=True))
    return table.encode(errors="backslashreplace")


def _of_labels(content: LabelContent) -> tuple[list[str], list[list]]:
    def named(rows: np.ndarray) -> list[str]:
        return [
            "|".join(content.label_names[label] for label in np.flatnonzero(row)) for row in rows
        ]

    headings, columns = ["labels"], [named(content.test.labels)]
    for model, rows in content.predictions.items():
        headings.append(f"{model}: labels")
        columns.append(named(rows >= content.thresholds[model]))
    model, last = list(content.predictions.items())[-1]
    headings += [f"{model}: {name}" for name in content.label_names]
    return headings, columns + [[f"{p:.6f}" for p in column] for column in last.T]


def _of_classes(content: ClassContent) -> tuple[list[str], list[list]]:
    models = content.named_predictions()
    names = np.array(content.class_names, dtype=object)
    headings, columns = ["label"], [list(names[content.labels])]
    for model, rows in models.items():
        headings += [f"{model}: class", f"{model}: probability"]
        columns += [
            list(names[rows.argmax(axis=-1)]),
            [f"{p:.6f}" for p in np.exp(rows.max(axis=-1))],
        ]
    return headings, columns


def _of_masks(content: SegmentationContent) -> tuple[list[str], list[list]]:
    kept = content.segments
    headings: list[str] = []
    columns: list[list] = []
    for model, counts in zip(kept.models, kept.counts, strict=True):
        headings += [f"{model}: mean IoU", f"{model}: pixel accuracy"]
        pixels = counts.true.sum(axis=1)
        accuracy = counts.right.sum(axis=1) / np.maximum(pixels, 1)
        columns += [
            [f"{value:.6f}" if there else "" for value, there in zip(values, pixels, strict=True)]
            for values in (segmentation.by_image(counts), accuracy)
        ]
    return headings, columns


def _of_numbers(content: NumberContent) -> tuple[list[str], list[list]]:
    named = {"target": content.targets, **content.named_predictions()}
    return list(named), [list(map(csv_tables.number, column)) for column in named.values()]
