"""What a run on a table prints of it before training."""

from __future__ import annotations

from ban_tf.datasets import class_weights, tables
from ban_tf.datasets.folder_layout import TRAIN
from ban_tf.system.shown import counted


def remarks(data: tables.TableData, features: int) -> list[str]:
    """Returns sentences on what is predicted, and from which columns.

    Args:
        data: The table.
        features: How many numbers the columns become.
    """
    target = data.target
    if target.kind == tables.NUMBER:
        what = f"Predicts {target.name}, a number; --target_kind=classes takes it for classes."
    else:
        counts = class_weights.describe(data.parts[TRAIN].targets, target.class_names)
        what = f"Predicts {target.name}, one of {len(target.class_names)} classes. {counts}"
    kinds = [column.kind for column in data.columns]
    counts = ", ".join(f"{kinds.count(kind)} of kind {kind}" for kind in dict.fromkeys(kinds))
    found = [
        what,
        f"From {counted(len(kinds), 'column')}, {counts}, which become {features} numbers.",
    ]
    if data.left_out:
        reasons = ", ".join(f"{name} ({reason})" for name, reason in data.left_out.items())
        found.append(f"Columns without information, which are left out: {reasons}.")
    return found
