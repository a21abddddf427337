"""A teacher whose outputs are recorded: given with the labels, or found in a recording."""

from __future__ import annotations

import os
from typing import Any

import keras

from ban_tf.compat import host_calls, outputs
from ban_tf.compat.loss_kinds import BINARY, CATEGORICAL, VALUES
from ban_tf.compat.preparation import Inputs
from ban_tf.distillation import example_keys, recorded_outputs
from ban_tf.errors import InputError


class RecordedTeacher:
    """A teacher whose outputs are recorded.

    With a path, they are those of `ban_tf.record`, found by the student's inputs, in any order and
    from any kind of data. Each example that is trained on must be recorded unchanged: data that is
    augmented, scaled or otherwise prepared after that is refused. In evaluation, labels count
    alone.

    Without a path, batches have the form `(x, {"labels": y, "teacher_logits": t})`, where `t` is an
    array, or a dictionary of arrays by output name: logits `[batch, ..., classes]` of a categorical
    output; logits of yes `[batch, ..., units]` (or of no and yes, `[batch, ..., units, 2]`) of a
    binary one; values unchanged. Validation data may have plain labels: it simply has no teacher
    signal.

    Args:
        path: The folder of a recording, or None.

    Attributes:
        path: The folder, or None.
        recorded: The recording, or None; `recorded.manifest` says what it holds.

    Raises:
        InputError: The recording is incomplete, has changed since it was written, cannot be read,
            or has several views of the same keys.
    """

    def __init__(self, path: str | os.PathLike | None = None):
        self.path = None if path is None else recorded_outputs.check_path(path)
        self.recorded: recorded_outputs.RecordedOutputs | None = None
        if self.path is None:
            return
        self.recorded = recorded_outputs.RecordedOutputs(self.path)
        manifest = self.recorded.manifest
        if manifest.views > 1 and manifest.keys == "given":
            raise InputError(
                f"{self.path} has {manifest.views} views of each example under one key, which the "
                "inputs of a model do not tell apart; only `ban-tf train` can train on it."
            )

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any] | None]:
        """Returns the labels of a batch alone, and the recorded outputs (or None)."""
        if is_recorded(labels):
            return labels["labels"], outputs.named(labels["teacher_logits"])
        if self.recorded is None:
            return labels, None
        if isinstance(inputs, Inputs):
            inputs = inputs.student
        classes = self.recorded.manifest.classes
        return labels, outputs.named(host_calls.call(self._outputs_of, inputs, classes))

    def signal(self, given: Any, name: str, student: Any) -> Any:
        """Returns the recorded outputs in the student's shape; see `teachers.Teacher.signal`.

        Raises:
            InputError: They are of another kind.
        """
        if self.recorded is not None:
            values = self.recorded.manifest.outputs == recorded_outputs.VALUES
            if values != (student.kind == VALUES):
                raise InputError(
                    f"{self.path} has {self.recorded.manifest.outputs}, but output {name!r} of the "
                    f"student is {student.kind}; record the teacher with another `outputs`."
                )
        return recorded_signal(given, student)

    def check_data(self, x: Any) -> None:
        """Checks before training that all examples are recorded, if they are arrays.

        Raises:
            InputError: Some are not.
        """
        arrays = keras.tree.flatten(x)
        known = all(hasattr(part, "shape") and hasattr(part, "__array__") for part in arrays)
        if self.recorded is not None and arrays and known:
            self._places_of(arrays, "`x`")

    def _outputs_of(self, inputs: Any) -> Any:
        assert self.recorded is not None
        return self.recorded.outputs(self._places_of(inputs, "A batch"))

    def _places_of(self, inputs: Any, whose: str) -> Any:
        assert self.recorded is not None
        flat = keras.tree.flatten(inputs)
        places = self.recorded.find(example_keys.of_examples(flat if len(flat) > 1 else flat[0]))
        missing = int((places < 0).sum())
        if missing:
            raise InputError(
                f"{whose} holds {missing} of {len(places)} examples that {self.path} does not "
                "have; train on the very numbers that were recorded, without augmentation "
                "or another scale, or record these."
            )
        return places


def is_recorded(labels: Any) -> bool:
    """Returns whether labels include precomputed teacher outputs."""
    return isinstance(labels, dict) and set(labels) == {"labels", "teacher_logits"}


def recorded_signal(given: Any, student: Any) -> Any:
    """Returns precomputed logits or values in the student's shape.

    Args:
        given: See `RecordedTeacher`.
        student: The student's output.
    """
    rank = len(student.logits.shape)
    both = len(given.shape) == rank and given.shape[-1] == 2
    if student.kind == BINARY:
        return outputs.to_logits(given, "linear", CATEGORICAL if both else BINARY)
    two_classes = student.kind == CATEGORICAL and student.units == 2
    if two_classes and (len(given.shape) < rank or given.shape[-1] == 1):
        return outputs.to_logits(given, "linear", BINARY)  # one unit distinguishes two classes
    return outputs.to_logits(given, "linear", student.kind)
