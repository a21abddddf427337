"""`--teacher_from=recording:PATH` on tables: a recording as the teacher of generation 0.

So any model teaches, such as a gradient booster of scikit-learn: `ban_tf.record` keeps what it
predicts, with the numbers of the rows as keys.
"""

from __future__ import annotations

import numpy as np

from ban_tf.datasets.tables import NUMBER, Rows, Target
from ban_tf.distillation import example_keys, recorded_outputs, teacher_names
from ban_tf.errors import InputError


class TableRecording:
    """The outputs of a recording for the training rows of a run.

    Args:
        value: The value of `--teacher_from`.
        rows: The training rows.
        target: What is predicted.

    Attributes:
        outputs: float32: logits `[rows, classes]`, or standardized numbers `[rows, 1]`.

    Raises:
        InputError: It is no complete recording, lacks a row, or is of other outputs.
    """

    def __init__(self, value: str, rows: Rows, target: Target):
        self._recorded = recorded_outputs.RecordedOutputs(teacher_names.parse(value)[0].path)
        name, manifest = f"--teacher_from={value}", self._recorded.manifest
        wanted = recorded_outputs.VALUES if target.kind == NUMBER else recorded_outputs.LOGITS
        if manifest.outputs != wanted:
            raise InputError(
                f"{name} has {manifest.outputs}, but column {target.name} needs {wanted}."
            )
        places = self._recorded.find(example_keys.of_names(rows.keys))
        missing = np.count_nonzero(places < 0)
        if missing:
            raise InputError(
                f"{name} lacks {missing:,} of the {len(places):,} training rows of this table; "
                "record them with their `keys` (docs/tables.md)."
            )
        outputs = self._recorded.outputs(places).astype(np.float32)
        order = _order(manifest.class_names, outputs.shape[1], target, name)
        self.outputs = outputs[:, order]
        if target.kind == NUMBER:
            self.outputs = ((self.outputs - target.mean) / target.std).astype(np.float32)

    def describe(self) -> str:
        """Returns what identifies it, for the settings of a run."""
        return f"{teacher_names.RECORDED}{self._recorded.digest()[:16]}"


def _order(names: list[str] | None, count: int, target: Target, name: str) -> list[int]:
    """Returns the outputs of the teacher in the order of the run's."""
    ours = list(target.class_names)
    if target.kind == NUMBER:
        if count != 1:
            raise InputError(f"{name} has {count} numbers in a row; column {target.name} is one.")
        return [0]
    if names is not None and sorted(names) == sorted(ours):
        return [names.index(own) for own in ours]
    if names is not None or count != len(ours):
        raise InputError(
            f"{name} has {count} classes ({', '.join(names or ['without names'])}), which are not "
            f"those of column {target.name}: {', '.join(ours)}."
        )
    return list(range(count))
