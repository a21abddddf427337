"""Teachers that run outside of the training step's graph, and mixtures of teachers of any kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ban_tf.compat import host_calls, model_checks, outputs, preparation
from ban_tf.compat.loss_kinds import VALUES
from ban_tf.distillation import function_outputs
from ban_tf.distillation.mapped_teacher import Partial
from ban_tf.distillation.means import mean_logits, mean_values
from ban_tf.distillation.recorded_teacher import recorded_signal
from ban_tf.errors import InputError


class FunctionTeacher:
    """A function of a NumPy batch, of any framework, that is called in each step.

    Args:
        function: Takes the student's inputs as NumPy arrays (a dictionary or list of these where
            the student has several), and returns outputs `[batch, classes]` of any framework.
        outputs: "logits" or "probabilities"; None finds out in the first batch. Of a student with
            values, they are values.
        prepare: Turns the student's inputs, tensors, into those of the function.

    Raises:
        InputError: It is no function, or `outputs` is unknown.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        outputs: str | None = None,
        prepare: Callable[[Any], Any] = lambda inputs: inputs,
    ):
        self._ask = function_outputs.Checked(function, "teacher", outputs)
        self._prepare = prepare

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any]]:
        """Returns the labels unchanged, and the inputs, for which `signal` calls the function."""
        return labels, {"output_0": self._prepare(inputs)}

    def signal(self, given: Any, name: str, student: Any) -> Any:
        """Returns the function's logits or values; see `teachers.Teacher.signal`.

        Raises:
            InputError: The student's output has more axes than `[batch, classes]`.
        """
        if len(student.logits.shape) != 2:
            raise InputError(
                "`teacher` is a function, which teaches outputs of shape [batch, classes], but "
                f"the student's logits have the shape {tuple(student.logits.shape)}."
            )
        if student.kind == VALUES:
            self._ask.outputs = function_outputs.VALUES
        units = student.logits.shape[-1]

        def ask(inputs: Any) -> np.ndarray:
            found = self._ask(inputs)
            if found.shape[-1] != units:
                raise InputError(
                    f"`teacher` has {found.shape[-1]} classes, but {units} are needed; "
                    "ban_tf.MappedTeacher maps each of its classes to one of the student's."
                )
            return found

        return recorded_signal(host_calls.call(ask, given, units), student)


class MixedTeacher:
    """Several teachers of any kind, whose weighted mean counts as in `OnlineTeacher`.

    Args:
        teachers: The teachers.
        weights: How much each counts; None if all count alike.

    Raises:
        InputError: One prepares its own input.
    """

    def __init__(self, teachers: Sequence[Any], weights: Sequence[float] | None = None):
        self.teachers = list(teachers)
        self.weights = None if weights is None else list(weights)
        for model in (model for one in teachers for model in getattr(one, "models", [])):
            if preparation.of(model) is not None:
                raise InputError(
                    f"`teacher` {model.name!r} prepares its own input, which it cannot among "
                    "teachers that are no Keras models; give ban_tf.adapt_teacher(model, "
                    "input_shape) of it for images, or record its outputs with `ban_tf.record`."
                )

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any]]:
        """Returns the labels unchanged, and by output name what each teacher gives."""
        joint: dict[str, list[Any]] = {}
        for teacher in self.teachers:
            _, given = teacher.split(inputs, labels)
            if given is None:
                raise InputError(
                    "`teacher` mixes a RecordedTeacher() without a path; give the recording's."
                )
            own = {name: (name, part) for name, part in given.items()}
            models = getattr(self.teachers[0], "models", [])[:1], getattr(teacher, "models", [])[:1]
            counted = outputs.counted_names(*models[0], *models[1]) if all(models) else ()
            own = outputs.aligned(own, list(joint), counted) if joint else own
            for name, part in own.items():
                joint.setdefault(name, []).append(part)
        return labels, joint

    def signal(self, given: Any, name: str, student: Any) -> Any:
        """Returns the teachers' joint numbers to match; see `teachers.Teacher.signal`."""
        signals = [
            teacher.signal(part, own, student)
            for teacher, (own, part) in zip(self.teachers, given, strict=True)
        ]
        if any(isinstance(one, Partial) for one in signals):
            raise InputError(
                "`teacher` mixes several, of which one does not know all classes of the student; "
                "map one of its classes to each, or give it alone."
            )
        for one in signals:
            model_checks.check_classes(one.shape[-1], student.logits.shape[-1])
        mean = mean_values if student.kind == VALUES else mean_logits
        return mean(signals, self.weights)
