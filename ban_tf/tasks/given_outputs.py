"""`--teacher_from=recording:PATH` on tables and texts: a recording as the teacher of generation 0.

So any model teaches, such as a gradient booster of scikit-learn: `ban_tf.record` keeps what it
predicts, with the numbers of rows, or the texts themselves, as keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ban_tf.distillation import recorded_outputs, teacher_names
from ban_tf.errors import InputError
from ban_tf.tasks import number_scores


class GivenOutputs:
    """The outputs of a recording for the training examples of a run.

    Args:
        value: The value of `--teacher_from`.
        keys: The keys of the training examples, uint64 `[examples]`.
        class_names: In the order of the run; empty for a number.
        number: The number that is predicted; None for classes.
        what: What is predicted, such as "column price".
        missing: What lacks if a key is not found, and what to do, such as "training rows of this
            table; record them with their `keys`".

    Attributes:
        outputs: float32: logits `[examples, classes]`, or standardized numbers `[examples, 1]`.

    Raises:
        InputError: It is no complete recording, lacks an example, or is of other outputs.
    """

    def __init__(
        self,
        value: str,
        keys: np.ndarray,
        class_names: Sequence[str],
        number: number_scores.Target | None,
        what: str,
        missing: str,
    ):
        self._recorded = recorded_outputs.RecordedOutputs(teacher_names.parse(value)[0].path)
        name, manifest = f"--teacher_from={value}", self._recorded.manifest
        wanted = recorded_outputs.LOGITS if number is None else recorded_outputs.VALUES
        if manifest.outputs != wanted:
            raise InputError(f"{name} has {manifest.outputs}, but {what} needs {wanted}.")
        places = self._recorded.find(keys)
        lacking = np.count_nonzero(places < 0)
        if lacking:
            raise InputError(f"{name} lacks {lacking:,} of the {len(places):,} {missing}.")
        outputs = self._recorded.outputs(places).astype(np.float32)
        if number is None:
            self.outputs = outputs[
                :, _order(manifest.class_names, outputs.shape[1], class_names, what, name)
            ]
            return
        if outputs.shape[1] != 1:
            raise InputError(f"{name} has {outputs.shape[1]} numbers in a row; {what} is one.")
        self.outputs = number_scores.standardized(outputs[:, 0], number)

    def describe(self) -> str:
        """Returns what identifies it, for the settings of a run."""
        return f"{teacher_names.RECORDED}{self._recorded.digest()[:16]}"


def check_alone(value: str, alternative: str) -> None:
    """Checks that a teacher that is no recording is one file.

    Args:
        value: The value of `--teacher_from`.
        alternative: What to do else, the end of a sentence.

    Raises:
        InputError: There are several files.
    """
    sources = teacher_names.parse(value)
    if sources[0].is_of_other_runtime:
        raise InputError(
            f"--teacher_from={value} is no Keras file, and others teach on images alone; record "
            "its outputs with ban_tf.record, and give --teacher_from=recording:PATH."
        )
    if len(sources) > 1:
        raise InputError(
            f"--teacher_from={value} names several models; give one, or {alternative}."
        )


def _order(
    names: Sequence[str] | None, count: int, ours: Sequence[str], what: str, name: str
) -> list[int]:
    """Returns the outputs of the teacher in the order of the run's."""
    if names is not None and sorted(names) == sorted(ours):
        return [list(names).index(own) for own in ours]
    if names is not None or count != len(ours):
        raise InputError(
            f"{name} has {count} classes ({', '.join(names or ['without names'])}), which are not "
            f"those of {what}: {', '.join(ours)}."
        )
    return list(range(count))
