"""Optimizers and learning-rate schedules by name.

SGD decays weights as for the paper's networks (and as PyTorch does): the decay is added to the
gradient, so that it enters the momentum, and is not part of the reported loss. All other
optimizers are Keras's and decay weights in their own way. Only kernels decay: not biases, and
not the scales and offsets of batch normalization.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from ban_tf.compat import keras_private
from ban_tf.errors import InputError
from ban_tf.system.arguments import check_count, check_flag, is_number
from ban_tf.training import variable_rates

SCHEDULES = ("step", "cosine", "constant")
# The first Keras whose Muon trains on TensorFlow.
_MUON_SINCE = (3, 13)


@keras.saving.register_keras_serializable("ban_tf")
class SGD(keras.optimizers.SGD):
    """Stochastic gradient descent whose weight decay is part of the gradient.

    Args:
        learning_rate: A number or a schedule.
        kernel_decay: Multiple of the kernel that is added to its gradient.
        **kwargs: As for `keras.optimizers.SGD`.
    """

    def __init__(self, learning_rate: Any = 0.1, kernel_decay: float = 0.0, **kwargs: Any):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.kernel_decay = kernel_decay

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable."""
        if self.kernel_decay and decays(variable):
            gradient = gradient + ops.cast(self.kernel_decay, variable.dtype) * variable
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {**super().get_config(), "kernel_decay": self.kernel_decay}


def decays(variable: Any) -> bool:
    """Returns whether weight decay applies to a variable."""
    return "kernel" in variable.name


@keras.saving.register_keras_serializable("ban_tf")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that warms up linearly and then follows a curve.

    Args:
        kind: "constant"; "cosine" (to zero at the last step); or "step", multiplied by
            `drop_factor` at each of `drops`.
        learning_rate: The peak.
        steps: Optimizer steps of the whole training.
        warmup_steps: Steps in which the rate rises from zero.
        drops: Fractions of the training at which "step" drops; 0.3, 0.6, 0.8 are the paper's
            epochs 60, 120, 160 of 200.
        drop_factor: Factor of each drop of "step"; the paper's is 0.2.
    """

    def __init__(
        self,
        kind: str,
        learning_rate: float,
        steps: int,
        warmup_steps: int = 0,
        drops: tuple[float, ...] = (0.3, 0.6, 0.8),
        drop_factor: float = 0.2,
    ):
        if kind not in SCHEDULES:
            raise InputError(f"`kind` must be one of {', '.join(SCHEDULES)}. Received: {kind!r}")
        _check_number("learning_rate", learning_rate)
        _check_number("drop_factor", drop_factor)
        check_count("steps", steps, least=0)
        check_count("warmup_steps", warmup_steps, least=0)
        listed = isinstance(drops, Iterable) and not isinstance(drops, str)
        drops = tuple(drops) if listed else drops
        if not listed or not all(is_number(drop) and 0 <= drop <= 1 for drop in drops):
            raise InputError(f"`drops` must be fractions of the training. Received: {drops!r}")
        self.kind = kind
        self.learning_rate = learning_rate
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.drops = drops
        self.drop_factor = drop_factor
        # Lowered when a diverged training is retried; part of a checkpoint.
        self.scale = keras.Variable(1.0, trainable=False, name="scale")

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of a step, counted from 0."""
        step = ops.cast(step, "float32")
        rate = ops.cast(self.learning_rate, "float32")
        if self.kind == "cosine":
            length = max(1, self.steps - self.warmup_steps)
            done = ops.clip((step - self.warmup_steps) / length, 0.0, 1.0)
            rate = rate * 0.5 * (1.0 + ops.cos(math.pi * done))
        elif self.kind == "step":
            for drop in self.drops:
                reached = step >= round(drop * self.steps)
                rate = rate * ops.where(reached, self.drop_factor, 1.0)
        if self.warmup_steps:
            rate = rate * ops.minimum(1.0, (step + 1.0) / self.warmup_steps)
        return rate * self.scale

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration."""
        return {
            "kind": self.kind,
            "learning_rate": self.learning_rate,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "drops": list(self.drops),
            "drop_factor": self.drop_factor,
        }


def _check_number(name: str, value: Any) -> None:
    if not is_number(value) or not 0 <= value < math.inf:
        raise InputError(f"`{name}` must be a finite number of at least 0. Received: {value!r}")


def schedule_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the variables of an optimizer's learning-rate schedule, if it has any."""
    schedule = keras_private.learning_rate(optimizer)
    return [schedule.scale] if isinstance(schedule, Schedule) else []


def lower_learning_rate(optimizer: keras.optimizers.Optimizer, factor: float) -> None:
    """Multiplies an optimizer's learning rate, now and for the rest of its schedule.

    Raises:
        InputError: Its schedule cannot be scaled.
    """
    schedule = keras_private.learning_rate(optimizer)
    if isinstance(schedule, Schedule):
        schedule.scale.assign(schedule.scale * factor)
    elif isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        raise InputError(
            "`on_divergence` is 'retry', which needs a learning rate that can be lowered: a "
            f"number or a ban_tf.optimizers.Schedule. Received: {type(schedule).__name__}"
        )
    else:
        optimizer.learning_rate = float(ops.convert_to_numpy(optimizer.learning_rate)) * factor


def make_optimizer(
    name: str,
    learning_rate: Any,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    by_variable: bool = False,
) -> keras.optimizers.Optimizer:
    """Returns an optimizer by name.

    Args:
        name: "sgd" (with Nesterov momentum), a class of `keras.optimizers` in any case, or a
            registered name.
        learning_rate: A number or a schedule.
        momentum: Used by "sgd".
        weight_decay: Decay of the kernels.
        clip_norm: Bound on the gradient's norm over all weights, or None.
        by_variable: Whether the learning rate of a variable is multiplied by its
            `learning_rate_factor`, if it has one: see `architectures.pretrained`.

    Raises:
        InputError: Keras has no optimizer of that name, or one that fails; or another argument is
            invalid.
    """
    if not isinstance(name, str):
        raise InputError(f"`name` must be that of an optimizer. Received: {name!r}")
    if not callable(learning_rate):  # as schedules are
        _check_number("learning_rate", learning_rate)
        learning_rate = float(learning_rate)
    _check_number("weight_decay", weight_decay)
    if not is_number(momentum) or not 0 <= momentum <= 1:
        raise InputError(f"`momentum` must be a number from 0 to 1. Received: {momentum!r}")
    if clip_norm is not None and (not is_number(clip_norm) or not 0 < clip_norm < math.inf):
        raise InputError(f"`clip_norm` must be a number above 0, or None. Received: {clip_norm!r}")
    check_flag("by_variable", by_variable)
    if name == "sgd":
        return (variable_rates.scaled(SGD) if by_variable else SGD)(
            learning_rate,
            kernel_decay=weight_decay,
            momentum=momentum,
            nesterov=momentum > 0,
            global_clipnorm=clip_norm,
        )
    kind: Any = _optimizer_class(name)
    # Passed even if 0: some, such as AdamW and Muon, have another default.
    decays_by = {"weight_decay", "adam_weight_decay"} & set(inspect.signature(kind).parameters)
    optimizer = (variable_rates.scaled(kind) if by_variable else kind)(
        learning_rate=learning_rate,
        global_clipnorm=clip_norm,
        **dict.fromkeys(decays_by, weight_decay),
    )
    if weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _optimizer_class(name: str) -> type[keras.optimizers.Optimizer]:
    """Returns an optimizer's class; `keras.optimizers.get` lacks some of Keras's, such as Lamb."""
    kinds = {key.lower(): value for key, value in vars(keras.optimizers).items()}
    kind = kinds.get(name.lower())
    if inspect.isclass(kind) and issubclass(kind, keras.optimizers.Optimizer):
        if name.lower() == "muon" and keras.backend.backend() == "tensorflow":
            _check_muon()
        return kind
    try:
        return type(keras.optimizers.get(name))
    except ValueError:
        raise InputError(
            f"{name!r} is not the name of an optimizer of Keras {keras.__version__}."
        ) from None


def _check_muon() -> None:
    """Checks that Muon does not ask TensorFlow's variables for the path that only Keras's have."""
    version = tuple(map(int, keras.__version__.split(".")[:2]))
    if version < _MUON_SINCE:
        raise InputError(
            f"muon fails with Keras {keras.__version__} on TensorFlow; it needs Keras "
            f"{'.'.join(map(str, _MUON_SINCE))} (Python 3.11) or later, or another optimizer."
        )
