"""Weights and a temperature that may change during training without retracing.

A number that is written into a traced step stays what it was when the step was traced. Here it
is read from a variable instead. These variables belong to the state of a model, so that compiled
JAX steps are given them and checkpoints hold them, but not to its weights.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from ban_tf import objectives
from ban_tf.compat import keras_private, masks
from ban_tf.compat.keras_distribution import DistributedModel
from ban_tf.errors import InputError
from ban_tf.system import user_code

Schedule = Callable[[int], float]


class Adjustable:
    """A number in a variable: a constant until it is assigned, or a schedule over epochs.

    Args:
        value: A number, or a function that returns one, given the index of the epoch from 0.
        check: Returns a number as a float, or raises `InputError`.
        name: The name of the variable.
    """

    def __init__(self, value: Any, check: Callable[[Any], float], name: str):
        self._check = check
        self._epoch = 0
        self.variable = keras.Variable(
            np.zeros(()), dtype=_widest_float(), trainable=False, autocast=False, name=name
        )
        self.assign(value)

    def assign(self, value: Any) -> None:
        """Sets a number, or a function of the epoch."""
        self._put(self.read(value))
        self.schedule = value if callable(value) else None

    def read(self, value: Any) -> float:
        """Returns the number that `assign` would set, without setting it.

        Raises:
            InputError: It is out of range, or a function that does not take the epoch alone.
        """
        if not callable(value):
            return self._check(value)
        if not user_code.takes(value, 1):
            raise InputError(
                f"`{self.variable.name}` must be a number, or a function of the epoch's index "
                f"that returns one. Received: {value!r}"
            )
        return self._check(value(self._epoch))

    def begin_epoch(self, epoch: int) -> None:
        """Sets the number that the schedule, if any, returns for an epoch."""
        self._epoch = epoch
        if self.schedule:
            self._put(self.read(self.schedule))

    @property
    def number(self) -> float:
        """The present number."""
        try:
            held = float(ops.convert_to_numpy(self.variable))
        except (NotImplementedError, TypeError):  # within a trace, variables have no value
            return self._number
        # Where variables are float32, a number is given back as it was assigned.
        rounded = float(np.asarray(self._number, self.variable.dtype))
        return self._number if held == rounded else held

    @property
    def is_zero(self) -> bool:
        """Whether it was last set to zero."""
        return self._number == 0.0

    @property
    def stays_zero(self) -> bool:
        """Whether it is zero until another number is assigned."""
        return self.is_zero and self.schedule is None

    def config(self) -> Any:
        """Returns the number or the schedule, as `from_config` takes it.

        Raises:
            InputError: The schedule is a function without a name.
        """
        if self.schedule is None:
            return self.number
        if hasattr(self.schedule, "get_config"):  # such as Keras's schedules of learning rates
            return keras.saving.serialize_keras_object(self.schedule)
        return {"function": user_code.name_of(self.schedule, self.variable.name)}

    def times(self, loss: Any) -> Any:
        """Returns a loss, a scalar, times the number."""
        loss = ops.convert_to_tensor(loss)
        return ops.cast(self.variable, loss.dtype) * loss

    def gate(self, outputs: Any) -> Any:
        """Returns outputs through which no gradient flows while the number is zero.

        Zero times a gradient that is infinite, or no number, would be no number.

        Args:
            outputs: A structure of tensors, which keep what Keras attached to them.
        """
        opened = ops.convert_to_tensor(self.variable) != 0

        def one(output: Any) -> Any:
            passed = ops.where(opened, output, ops.stop_gradient(output))
            logits = keras_private.kept_logits(output)
            if logits is not None:
                keras_private.keep_logits(passed, one(logits))
            return masks.with_mask(passed, masks.mask_of(output))

        return keras.tree.map_structure(one, outputs)

    def _put(self, number: float) -> None:
        self._number = number
        self.variable.assign(number)


@dataclasses.dataclass
class Adjustables:
    """The adjustable numbers of a model, where Keras does not look for weights."""

    label_weight: Adjustable
    teacher_weight: Adjustable
    temperature: Adjustable

    @property
    def all(self) -> list[Adjustable]:
        """Every one of them, in order."""
        return [self.label_weight, self.teacher_weight, self.temperature]


class AdjustableModel(DistributedModel):
    """A model whose objective, and the numbers in its loss, may be assigned at any time."""

    _adjustables: Any = None  # `Adjustables`, once the constructor is done

    def _adjust(
        self, objective: Any, label_weight: Any, teacher_weight: Any, temperature: Any
    ) -> None:
        """Sets the arguments of the constructor; see `BornAgainModel`."""
        self._adjustables = Adjustables(
            _weight("label_weight", 0.0 if label_weight is None else label_weight),
            _weight("teacher_weight", teacher_weight),
            Adjustable(
                1.0 if temperature is None else temperature,
                objectives.check_temperature,
                "temperature",
            ),
        )
        self._label_weight_follows = label_weight is None
        number = None if temperature is None else self._adjustables.temperature.number
        self._take_objective(*objectives.resolve(objective, temperature=number))

    @property
    def objective(self) -> Any:
        """The objective that the student minimizes."""
        return self._objective

    @objective.setter
    def objective(self, objective: Any) -> None:
        self._sync()
        number = self._adjustables.temperature.number
        scheduled = self._adjustables.temperature.schedule is not None
        self._take_objective(
            *objectives.resolve(objective, temperature=number if scheduled else None)
        )
        self._trace_again()

    @property
    def label_weight(self) -> float:
        """Weight of the label term at present."""
        return self._read("label_weight")

    @label_weight.setter
    def label_weight(self, weight: float | Schedule) -> None:
        self._sync()
        self._adjustables.label_weight.assign(weight)
        self._label_weight_follows = False
        if self._unlabelled and not self._adjustables.label_weight.stays_zero:
            self._trace_again()  # which says that labels are missing

    @property
    def teacher_weight(self) -> float:
        """Weight of the objective at present."""
        return self._read("teacher_weight")

    @teacher_weight.setter
    def teacher_weight(self, weight: float | Schedule) -> None:
        self._sync()
        self._adjustables.teacher_weight.assign(weight)

    @property
    def temperature(self) -> float | None:
        """Temperature of the objective at present; None if it has none, or outputs differ."""
        return None if self._shared_temperature is None else self._read("temperature")

    @temperature.setter
    def temperature(self, temperature: float | Schedule) -> None:
        self._sync()
        number = self._adjustables.temperature.read(temperature)
        objectives.resolve(self._objective, temperature=number)  # which says if there is none
        self._adjustables.temperature.assign(temperature)
        self._soften()

    @property
    def variables(self) -> list[Any]:
        """All state: the weights, and the numbers that may be assigned."""
        held = [] if self._adjustables is None else self._adjustables.all
        return [*super().variables, *[adjustable.variable for adjustable in held]]

    def _adjusted(self) -> dict[str, Any]:
        """Returns the numbers and schedules for the configuration of the model."""
        held = self._adjustables
        # Without a schedule, the objective's own configuration has it.
        scheduled = held.temperature.schedule is not None
        return {
            "label_weight": held.label_weight.config(),
            "teacher_weight": held.teacher_weight.config(),
            "temperature": held.temperature.config() if scheduled else None,
        }

    def _take_objective(self, objective: Any, label_weight: float) -> None:
        self._check_objective(objective)
        objectives.take_into_use(objective)
        self._objective = objective
        self._shared_temperature = objectives.shared_temperature(objective)
        if self._shared_temperature is not None and not self._adjustables.temperature.schedule:
            self._adjustables.temperature.assign(self._shared_temperature)
        if self._label_weight_follows:
            self._adjustables.label_weight.assign(label_weight)
        self._unlabelled = False
        self._default_loss = objectives.LabelCrossEntropy(
            label_smoothing=getattr(objective, "label_smoothing", 0.0)
        )

    def _check_objective(self, objective: Any) -> None:
        """Raises `InputError` if an objective does not suit the models."""

    def _at_present(self) -> Any:
        """Returns the objective, at the temperature that the variable has in each step."""
        if self._shared_temperature is None:
            return self._objective
        return objectives.at_temperature(
            self._objective, ops.convert_to_tensor(self._adjustables.temperature.variable)
        )

    def _begin_epoch(self, epoch: int) -> None:
        """Sets the numbers that schedules return for an epoch."""
        self._sync()
        for adjustable in self._adjustables.all:
            adjustable.begin_epoch(epoch)
        if self._adjustables.temperature.schedule:
            self._soften()

    def _soften(self) -> None:
        """Sets the objective's temperature to the one that was assigned."""
        traced = self._shared_temperature is not None
        self._objective, _ = objectives.resolve(
            self._objective, temperature=self._adjustables.temperature.number
        )
        objectives.take_into_use(self._objective)
        self._shared_temperature = objectives.shared_temperature(self._objective)
        if not traced:
            self._trace_again()

    def _read(self, name: str) -> float:
        self._sync()
        return getattr(self._adjustables, name).number

    def _sync(self) -> None:
        # While JAX trains, variables are elsewhere.
        if keras.backend.backend() == "jax":
            self.jax_state_sync()

    def _trace_again(self) -> None:
        """Makes Keras trace the steps again, also during `fit`."""
        for name in ("train", "test"):
            if getattr(self, f"{name}_function", None) is not None:
                getattr(self, f"make_{name}_function")(force=True)


def _weight(name: str, value: Any) -> Adjustable:
    return Adjustable(value, functools.partial(objectives.check_weight, name), name)


def from_config(value: Any, name: str) -> Any:
    """Returns the number or the schedule that `Adjustable.config` describes."""
    if not isinstance(value, dict):
        return value
    if set(value) == {"function"}:
        return user_code.load_imported(value["function"], name)
    return keras.saving.deserialize_keras_object(value)


class EpochCallback(keras.callbacks.Callback):
    """Calls a function with the index of each epoch of `fit` that begins."""

    def __init__(self, function: Callable[[int], None]):
        super().__init__()
        self._function = function

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Calls the function."""
        self._function(epoch)


def with_first(callbacks: Any, first: keras.callbacks.Callback) -> Any:
    """Returns the callbacks of `fit` with another one before them.

    Args:
        callbacks: None, a callback, a list of callbacks, or a `keras.callbacks.CallbackList`, which
            is changed.
        first: The other one.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        former = [
            callback for callback in callbacks.callbacks if not isinstance(callback, EpochCallback)
        ]
        callbacks.callbacks = [first, *former]
        return callbacks
    return [first, *keras.tree.flatten(callbacks or [])]


def _widest_float() -> str:
    """Returns float64 where the backend has it, so that a loss in float64 is weighted exactly."""
    return keras.backend.standardize_dtype(ops.convert_to_tensor(np.zeros(())).dtype)
