"""`predictions.csv`: what each generation and the ensemble predict for each test example."""

from __future__ import annotations

import numpy as np

from ban_tf.report.content import ClassContent
from ban_tf.system import csv_tables, shown

FILE = "predictions.csv"


def write(content: ClassContent) -> bytes:
    """Returns the table as CSV that is safe for spreadsheets.

    A row has the file of a test example (or its number, if it comes from no file), its label, and
    the predicted class and its probability by every model.

    Args:
        content: The content of the report.
    """
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
