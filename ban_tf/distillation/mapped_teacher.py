"""A teacher of other classes than its student's; see `class_maps`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from ban_tf.compat.loss_kinds import CATEGORICAL
from ban_tf.compat.output_kinds import ACTIVATIONS, check_declared
from ban_tf.distillation import class_maps
from ban_tf.errors import InputError

_NEVER = -1e30  # a logit of probability zero, finite at all temperatures


class Partial(NamedTuple):
    """Logits of a teacher that lacks some classes of its student.

    Attributes:
        logits: `[batch, ..., classes]`; without meaning for classes that it lacks.
        known: Whether it has a class, bool `[classes]`.
    """

    logits: Any
    known: np.ndarray

    @property
    def shape(self) -> Any:
        """The shape of the logits."""
        return self.logits.shape

    def filled(self, own: Any, temperature: Any) -> Any:
        """Returns logits in which the student's own probability stands for what is unknown.

        Args:
            own: The student's logits `[batch, ..., classes]`.
            temperature: At which the probabilities are equal; None for 1.
        """
        own = ops.stop_gradient(own)
        scale = ops.convert_to_tensor(1.0 if temperature is None else temperature, own.dtype)

        def total(logits: Any) -> Any:
            softened = ops.where(self.known, logits / scale, _NEVER)
            return ops.logsumexp(softened, axis=-1, keepdims=True)

        shift = scale * (total(own) - total(self.logits))
        return ops.where(self.known, self.logits + shift, own)


class MappedTeacher:
    """A teacher whose classes are mapped to those of the student; see `class_maps`.

    Example:
        ```python
        # The teacher's three classes are the student's second and first one, and none.
        mapped = ban_tf.MappedTeacher(teacher, [1, 0, None])
        student = ban_tf.BornAgainModel(my_model(), mapped)
        ```

    Args:
        teacher: Any teacher that `BornAgainModel` takes.
        classes: The student's class of each class of the teacher; None for no class. See
            `match_classes` for classes by name.
        activation: As `teacher_activation` of `BornAgainModel`.

    Raises:
        InputError: `teacher` is no teacher, or an argument is invalid.
    """

    def __init__(self, teacher: Any, classes: Sequence[int | None], activation: str | None = None):
        from ban_tf.distillation import teachers  # which also describes this one

        check_declared("activation", activation, ACTIVATIONS, None)
        found = teachers.as_teacher(teacher, activation)
        if found is None:
            raise InputError("`teacher` of a MappedTeacher is None; give a teacher.")
        self.teacher = found
        self.classes = class_maps.check_targets(classes)

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any] | None]:
        """Returns the labels of a batch, and what the teacher gives by output."""
        return self.teacher.split(inputs, labels)

    def signal(self, given: Any, name: str, student: Any) -> Any:
        """Returns logits of the student's classes, `Partial` ones if the teacher lacks some.

        Raises:
            InputError: The output has no classes, or a class is out of range.
        """
        if student.kind != CATEGORICAL:
            raise InputError(
                f"`teacher` maps classes, but output {name!r} of the student is {student.kind}; "
                "give the teacher without a map."
            )
        found = class_maps.of_indices(self.classes, student.logits.shape[-1])
        wide = keras.KerasTensor((*student.logits.shape[:-1], len(found.targets)))
        their = _Output(student.kind, len(found.targets), student.end, wide)
        logits = self.teacher.signal(given, name, their)
        if isinstance(logits, Partial) or logits.shape[-1] != len(found.targets):
            raise InputError(
                f"`classes` maps {len(found.targets)} classes of the teacher, which has "
                f"{logits.shape[-1]}."
            )
        groups = found.groups()
        known = np.array([bool(group) for group in groups])
        log_probabilities = ops.log_softmax(logits, axis=-1)
        columns = [
            ops.logsumexp(ops.take(log_probabilities, group, axis=-1), axis=-1)
            if group
            else ops.full_like(log_probabilities[..., 0], _NEVER)
            for group in groups
        ]
        joint = ops.stack(columns, axis=-1)
        return joint if known.all() else Partial(joint, known)


class _Output(NamedTuple):
    """A student's output, with as many classes as the teacher has."""

    kind: str
    units: int
    end: str | None
    logits: Any
