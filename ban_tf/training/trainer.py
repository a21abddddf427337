"""Students and teachers that are built and traced once for many generations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.compat import keras_private
from ban_tf.distillation import sharing
from ban_tf.distillation.student import BornAgainModel
from ban_tf.distillation.teachers import OnlineTeacher, RecordedTeacher
from ban_tf.errors import InputError
from ban_tf.layers.fold import copy_folded, fold
from ban_tf.runs.generations import Generation
from ban_tf.training import checkpoints


class Trainer:
    """A student and its teachers, traced once and reset for each generation.

    Args:
        model: The compiled student.
        teachers: Its teachers.
        inference: The (possibly folded) models used for inference; see `prepare_teachers`.
        shared: Indices of the layers that it shares with the last teacher; see `sharing`.

    Attributes:
        online_teacher: The teachers as one model, to record its outputs; None without teachers.
    """

    def __init__(
        self,
        model: BornAgainModel,
        teachers: list[keras.Model],
        inference: list[keras.Model],
        shared: Sequence[int],
    ):
        self.model = model
        self.teachers = teachers
        self.online_teacher = OnlineTeacher(inference) if inference else None
        self._inference = inference
        self._shared = shared
        model.optimizer.build(model.trainable_variables)
        # Such as of ScheduleFreeAdamW, which averages from them on.
        self._starts_from_weights = any(
            np.ptp(keras.ops.convert_to_numpy(variable)) > 0
            for variable in model.optimizer.variables
            if len(variable.shape) and 0 not in variable.shape
        )
        self._initial = checkpoints.capture(model)

    def reset(self) -> None:
        """Resets the student and its `distillation_losses` to their initial state."""
        checkpoints.restore(self.model, self._initial)

    def begin(
        self,
        fresh: keras.Model,
        teachers: list[Generation],
        scope: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        """Resets everything for the training of a generation.

        Args:
            fresh: The model whose weights the student starts from.
            teachers: Its teachers.
            scope: That in which variables are created.
        """
        self.reset()
        for variable, value in zip(self.model.student.variables, fresh.variables, strict=True):
            variable.assign(value)
        for model, generation in zip(self.teachers, teachers, strict=True):
            model.set_weights(generation.weights)
        for model, inference in zip(self.teachers, self._inference, strict=True):
            if inference is not model:
                copy_folded(model, inference)
        if self._shared:
            sharing.copy_ends(self.model.student, self.teachers[-1], self._shared)
        if self._starts_from_weights:
            with scope():
                self._restart_optimizer()
        self.model.stop_training = False

    def _restart_optimizer(self) -> None:
        """Gives the optimizer the variables that it is built with for the present weights.

        They are those of a copy, made from its configuration.
        """
        optimizer = self.model.optimizer
        copy = keras_private.copy_of_optimizer(optimizer)
        copy.build(self.model.trainable_variables)
        for variable, value in zip(optimizer.variables, copy.variables, strict=True):
            variable.assign(keras.ops.convert_to_numpy(value))


class Trainers:
    """The trainers of a lineage: generations of equal shape share one.

    Args:
        first_model: The pretrained generation 0, if any.
        first_teacher: The teacher of generation 0, if any.
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
        first_teacher: Any,
        share_ends: bool,
        teacher_precision: str | None,
        recorded: bool,
        expects_teacher: bool,
        **student: Any,
    ):
        self._first_model = first_model
        self._first_teacher = first_teacher
        self._share_ends = share_ends
        self._precision = teacher_precision
        self._recorded = recorded
        self._expects_teacher = expects_teacher
        self._student = student
        self._known: dict[tuple, Trainer] = {}

    @property
    def any_model(self) -> BornAgainModel | None:
        """A compiled student, if one exists."""
        return next((trainer.model for trainer in self._known.values()), None)

    def get(
        self,
        build: Callable[[], keras.Model],
        teacher_builds: Sequence[Callable[[], keras.Model] | None],
        compile: Callable[[int], Mapping[str, Any]],
        epochs: int,
        *,
        by_epochs: bool,
        first: bool = False,
    ) -> Trainer:
        """Returns the trainer of a generation; creates it if none has its shape.

        Args:
            build: Builds the student.
            teacher_builds: Builds each teacher; None for the pretrained model.
            compile: Returns the arguments of `compile`, given the epochs.
            epochs: Epochs of the generation.
            by_epochs: Whether the arguments of `compile` depend on the epochs.
            first: Whether it is generation 0.
        """
        key = (build, tuple(teacher_builds), epochs if by_epochs else None)
        given = self._first_teacher if first else None
        if key not in self._known:
            for other in self._known.values():
                other.reset()  # they share the objects of `distillation_losses`
            teachers = [
                self._first_model if teacher_build is None else teacher_build()
                for teacher_build in teacher_builds
            ]
            self._known[key] = self._create(build(), teachers, compile(epochs), given)
        return self._known[key]

    def _create(
        self,
        student: keras.Model,
        teachers: list[keras.Model],
        compile: Mapping[str, Any],
        given: Any,
    ) -> Trainer:
        shared = sharing.freeze_ends(student) if teachers and self._share_ends else []
        inference = prepare_teachers(teachers, self._precision)
        recorded = RecordedTeacher() if self._recorded and teachers else None
        teacher = given if given is not None else recorded or inference or None
        model = BornAgainModel(student, teacher=teacher, **self._student)
        model.expects_teacher = self._expects_teacher
        compile_fresh(model, compile)
        return Trainer(model, teachers, inference, shared)


def prepare_teachers(teachers: list[keras.Model], precision: str | None) -> list[keras.Model]:
    """Returns inference copies of the teachers.

    Args:
        teachers: The teachers of a student.
        precision: A dtype policy, for which each is rebuilt by `layers.fold`; None returns them
            unchanged.

    Raises:
        InputError: One cannot be rebuilt.
    """
    if precision is None:
        return teachers
    try:
        return [fold(teacher, precision) for teacher in teachers]
    except InputError as error:
        raise InputError(
            f"`teacher_precision` is {precision!r}, for which teachers are rebuilt: {error}."
        ) from error


def compile_fresh(model: keras.Model, arguments: Mapping[str, Any]) -> None:
    """Compiles a model with its own optimizer.

    Args:
        model: The model.
        arguments: Arguments of `compile`; "optimizer" may be a function that returns one, and an
            optimizer is copied, since it may belong to another model already.
    """
    arguments = dict(arguments)
    optimizer = arguments.pop("optimizer", "rmsprop")
    if callable(optimizer):
        optimizer = optimizer()
        if optimizer is None:
            raise InputError("`compile` has a function as 'optimizer' that returned None.")
    elif isinstance(optimizer, keras.optimizers.Optimizer):
        optimizer = keras_private.copy_of_optimizer(optimizer)
    model.compile(optimizer=optimizer, **arguments)
