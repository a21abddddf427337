"""What trains one generation after another without being built, or traced, again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from ban_tf.distillation import sharing
from ban_tf.distillation.student import BornAgainModel
from ban_tf.distillation.teachers import OnlineTeacher, RecordedTeacher
from ban_tf.errors import InputError
from ban_tf.layers.fold import copy_folded, fold
from ban_tf.runs.generations import Generation
from ban_tf.training import checkpoints


class Trainer:
    """A student and its teachers, traced once and set anew for each generation.

    Args:
        model: The compiled student.
        teachers: The models that it learns from.
        asked: What it asks in their place; see `prepare_teachers`.
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


class Trainers:
    """The trainers of a lineage: one for all generations of equal shape.

    Args:
        first_model: The model that was given as generation 0, if one was.
        share_ends: As for `Lineage`.
        teacher_precision: As for `Lineage`.
        recorded: As for `Lineage`.
        expects_teacher: Whether any generation of the lineage has a teacher.
        **student: Arguments of `BornAgainModel`.
    """

    def __init__(
        self,
        *,
        first_model: keras.Model | None,
        share_ends: bool,
        teacher_precision: str | None,
        recorded: bool,
        expects_teacher: bool,
        **student: Any,
    ):
        self._first_model = first_model
        self._share_ends = share_ends
        self._precision = teacher_precision
        self._recorded = recorded
        self._expects_teacher = expects_teacher
        self._student = student
        self._known: dict[tuple, Trainer] = {}

    @property
    def any_model(self) -> BornAgainModel | None:
        """A compiled student, if there is one yet."""
        return next((trainer.model for trainer in self._known.values()), None)

    def get(
        self,
        build: Callable[[], keras.Model],
        teacher_builds: Sequence[Callable[[], keras.Model] | None],
        compile: Callable[[int], Mapping[str, Any]],
        epochs: int,
        *,
        by_epochs: bool,
    ) -> Trainer:
        """Returns the trainer of a generation; a new one if there was none like it.

        Args:
            build: Builds the student.
            teacher_builds: What builds each teacher; None for the model that was given.
            compile: Returns the arguments of `compile`, given the epochs.
            epochs: Epochs of the generation.
            by_epochs: Whether the arguments of `compile` depend on the epochs.
        """
        key = (build, tuple(teacher_builds), epochs if by_epochs else None)
        if key not in self._known:
            for other in self._known.values():
                other.reset()  # what `distillation_losses` hold is the same object in all
            teachers = [
                self._first_model if teacher_build is None else teacher_build()
                for teacher_build in teacher_builds
            ]
            self._known[key] = self._create(build(), teachers, compile(epochs))
        return self._known[key]

    def _create(
        self, student: keras.Model, teachers: list[keras.Model], compile: Mapping[str, Any]
    ) -> Trainer:
        shared = sharing.freeze_ends(student) if teachers and self._share_ends else []
        asked = prepare_teachers(teachers, self._precision)
        recorded = RecordedTeacher() if self._recorded and teachers else None
        model = BornAgainModel(student, teacher=recorded or asked or None, **self._student)
        model.expects_teacher = self._expects_teacher
        compile_anew(model, compile)
        return Trainer(model, teachers, asked, shared)


def prepare_teachers(teachers: list[keras.Model], precision: str | None) -> list[keras.Model]:
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
        if optimizer is None:
            raise InputError("`compile` has a function as 'optimizer' that returned None.")
    elif isinstance(optimizer, keras.optimizers.Optimizer):
        optimizer = type(optimizer).from_config(optimizer.get_config())
    model.compile(optimizer=optimizer, **arguments)
