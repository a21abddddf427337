"""What trains one generation after another without being built, or traced, again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from ban_tf import checkpoints, sharing
from ban_tf.errors import InputError
from ban_tf.generations import Generation
from ban_tf.layers.fold import copy_folded, fold
from ban_tf.student import BornAgainModel
from ban_tf.teachers import OnlineTeacher


class Trainer:
    """A student and its teachers, traced once and set anew for each generation.

    Args:
        model: The compiled student.
        teachers: The models that it learns from.
        asked: What it asks in their place; see `asked_for`.
        shared: Places of the layers that it has from the last of them; see `sharing`.

    Attributes:
        asked: The teachers as one, for whoever wants to record them; None if there are none.
    """

    def __init__(
        self,
        model: BornAgainModel,
        teachers: list[keras.Model],
        asked: list[keras.Model],
        shared: Sequence[int],
    ):
        self.model = model
        self.teachers = teachers
        self.asked = OnlineTeacher(asked) if asked else None
        self._asked = asked
        self._shared = shared
        model.optimizer.build(model.trainable_variables)
        self._initial = checkpoints.capture(model)

    def reset(self) -> None:
        """Puts the state of the student, and of its `distillation_losses`, back to the first."""
        checkpoints.restore(self.model, self._initial)

    def begin(self, fresh: keras.Model, teachers: list[Generation]) -> None:
        """Puts everything in the state in which a training starts."""
        self.reset()
        for variable, value in zip(self.model.student.variables, fresh.variables, strict=True):
            variable.assign(value)
        for model, generation in zip(self.teachers, teachers, strict=True):
            model.set_weights(generation.weights)
        for model, asked in zip(self.teachers, self._asked, strict=True):
            if asked is not model:
                copy_folded(model, asked)
        if self._shared:
            sharing.copy_ends(self.model.student, self.teachers[-1], self._shared)
        self.model.stop_training = False


def asked_for(teachers: list[keras.Model], precision: str | None) -> list[keras.Model]:
    """Returns what is asked in the place of teachers.

    Args:
        teachers: The models that a student learns from.
        precision: A dtype policy, for which each is rebuilt by `layers.fold`; None asks them as
            they are.

    Raises:
        InputError: One cannot be rebuilt.
    """
    if precision is None:
        return teachers
    try:
        return [fold(each, precision) for each in teachers]
    except InputError as error:
        raise InputError(
            f"`teacher_precision` is {precision!r}, for which teachers are rebuilt: {error}."
        ) from error


def compile_anew(model: keras.Model, arguments: Mapping[str, Any]) -> None:
    """Compiles a model with an optimizer of its own.

    Args:
        model: What is to be compiled.
        arguments: Those of `compile`; "optimizer" may be a function that makes one, and one that
            is given as it is, is copied, since it may be another model's already.
    """
    arguments = dict(arguments)
    optimizer = arguments.pop("optimizer", "rmsprop")
    if callable(optimizer):
        optimizer = optimizer()
    elif isinstance(optimizer, keras.optimizers.Optimizer):
        optimizer = type(optimizer).from_config(optimizer.get_config())
    model.compile(optimizer=optimizer, **arguments)
