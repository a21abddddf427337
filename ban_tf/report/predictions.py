"""`predictions.csv`: what each generation and the ensemble predict for each test example."""

from __future__ import annotations

import numpy as np

from ban_tf.metrics import segmentation
from ban_tf.report.content import ClassContent, Content, NumberContent, SegmentationContent
from ban_tf.system import csv_tables, shown

FILE = "predictions.csv"


def has_table(content: Content) -> bool:
    """Returns whether the predictions of a run are kept, so that there is a table of them."""
    return isinstance(content, (ClassContent, NumberContent, SegmentationContent))


def write(content: Content) -> bytes:
    """Returns the table as CSV that is safe for spreadsheets.

    A row has the file of a test example (or its number, if it comes from no file), its label, and
    the predicted class and its probability, or the predicted number, by every model;
    of masks, the mean IoU and the pixel accuracy of every model.

    Args:
        content: The content of the report, of which `has_table` is true.
    """
    if isinstance(content, SegmentationContent):
        return _of_masks(content)
    if isinstance(content, NumberContent):
        return _of_numbers(content)
    assert isinstance(content, ClassContent)
    models = content.named_predictions()
    examples = content.names or range(len(content.labels))
    names = np.array(content.class_names, dtype=object)
    columns: list[list] = [
        [shown.escaped(example) for example in examples],
        list(names[content.labels]),
    ]
    headings = ["file" if content.names else "example", "label"]
    for model, rows in models.items():
        headings += [f"{model}: class", f"{model}: probability"]
        columns += [
            list(names[rows.argmax(axis=-1)]),
            [f"{p:.6f}" for p in np.exp(rows.max(axis=-1))],
        ]
    table = csv_tables.for_spreadsheets(headings, zip(*columns, strict=True))
    return table.encode(errors="backslashreplace")


def _of_masks(content: SegmentationContent) -> bytes:
    kept = content.segments
    images = len(kept.counts[0].true)
    columns: list[list] = [[shown.escaped(file) for file in kept.files or range(images)]]
    headings = ["file" if kept.files else "example"]
    for model, counts in zip(kept.models, kept.counts, strict=True):
        headings += [f"{model}: mean IoU", f"{model}: pixel accuracy"]
        pixels = counts.true.sum(axis=1)
        accuracy = counts.right.sum(axis=1) / np.maximum(pixels, 1)
        columns += [
            [f"{value:.6f}" if there else "" for value, there in zip(values, pixels, strict=True)]
            for values in (segmentation.by_image(counts), accuracy)
        ]
    table = csv_tables.for_spreadsheets(headings, zip(*columns, strict=True))
    return table.encode(errors="backslashreplace")


def _of_numbers(content: NumberContent) -> bytes:
    named = content.named_predictions()
    numbers = np.stack([content.targets, *named.values()], axis=1)
    cells = [[index, *(f"{value:.8g}" for value in row)] for index, row in enumerate(numbers)]
    return csv_tables.for_spreadsheets(["example", "target", *named], cells).encode()
