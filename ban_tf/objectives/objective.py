"""The base class of objectives: the loss of a student per sample.

An objective returns a loss per sample. If the paper weights samples relative to each other
(Furlanello et al., 2018, eq. 9 and 10), the weights are returned separately and not normalized, so
that a train step can normalize them over all replicas with `normalize`. Keras applies sample
weights, masks, reductions and regularization.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ban_tf.compat.loss_kinds import BINARY, CATEGORICAL, KINDS, VALUES
from ban_tf.errors import InputError

CLASSES = (CATEGORICAL, BINARY)
_IN_WORDS = {CATEGORICAL: "categorical", BINARY: "binary", VALUES: "a regression (values)"}


# A logit that gives probability zero, but is finite at all usual temperatures.
RULED_OUT = -1e30


class Objective:
    """The base class of objectives.

    An objective is independent of models and data. It returns a loss per sample (per token, for
    sequences). A subclass overrides `losses` with the same signature; `weights`, if its samples
    are weighted relative to each other; and `get_config`, if its constructor takes arguments.

    Attributes:
        needs_labels: Whether it uses the labels.
        needs_teacher: Whether it uses the teacher's logits.
        label_weight: Weight of the label term in its paper.
        temperature: The divisor of logits; None if it has no temperature.
        traces_temperature: Whether `losses` also works with a scalar tensor as `temperature`,
            which each step reads again.
        kinds: The supported kinds of outputs: "categorical" (logits over the last axis),
            "binary" (units, each as the logits of no and yes) and "values" (a regression).
    """

    needs_labels = False
    needs_teacher = True
    label_weight = 0.0
    temperature: Any = None
    traces_temperature = False
    kinds: tuple[str, ...] = KINDS

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute.

        Raises:
            InputError: It is an argument of an objective in use by a model, whose steps are traced
                with the former value.
        """
        if vars(self).get("_in_use") and name in inspect.signature(type(self)).parameters:
            instead = (
                "`temperature` of the model"
                if name == "temperature"
                else "another objective to `objective` of the model"
            )
            raise InputError(
                f"`{name}` of an objective that a model trains with cannot be assigned: assign "
                f"{instead} instead."
            )
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Returns the state of a copy, which is not in use by a model."""
        return {name: value for name, value in vars(self).items() if name != "_in_use"}

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the loss of each sample, before any weight that depends on the batch.

        Args:
            labels: Integers `[batch, ...]` or `[batch, ..., 1]` of any dtype, or distributions
                `[batch, ..., classes]`; None if `needs_labels` is False.
            teacher_logits: `[batch, ..., classes]`; no gradient flows into them.
            student_logits: `[batch, ..., classes]`.
            sample_weight: `[batch]` or `[batch, ...]`, for objectives that compare the samples of
                a batch with each other. The losses are not multiplied by it.
            seed: For random objectives: two integers such as (seed, step), as an int32 tensor
                `[2]` in a train step.

        Returns:
            `[batch, ...]`, float64 if logits are, otherwise float32.
        """
        raise NotImplementedError

    def why_idle(self, classes: int, samples: int | None = None) -> str | None:
        """Returns why the gradient of `losses` is always zero, if it is.

        Args:
            classes: The number of classes.
            samples: The number of samples in a batch, including positions of sequences; None if
                unknown.

        Returns:
            The reason and what would be right, as the end of a sentence; None with a gradient.
        """
        return None

    def weights(self, labels: Any, teacher_logits: Any) -> Any:
        """Returns unnormalized batch-wide weights `[batch, ...]`; None if all are equal."""
        return None

    def for_kind(self, kind: str, output: str) -> Objective:
        """Returns this objective, or its equivalent for a kind of outputs.

        Args:
            kind: "categorical", "binary" or "values".
            output: The name of the output, for messages.

        Raises:
            InputError: It does not support outputs of that kind.
        """
        if kind in self.kinds:
            return self
        classes = "kd or another objective for classes"
        fit = "mse, huber, bounded or kd" if kind == VALUES else classes
        kinds = " and ".join("regression" if own == VALUES else own for own in self.kinds)
        raise InputError(
            f"`objective` {type(self).__name__} is for {kinds} outputs, but the output "
            f"{output!r} is {_IN_WORDS[kind]}; give {fit}."
        )

    def __call__(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the loss of each sample `[batch, ...]`, including batch-wide weights.

        Args:
            labels: As for `losses`.
            teacher_logits: As for `losses`.
            student_logits: As for `losses`.
            sample_weight: `[batch]` or `[batch, ...]`; only used to normalize batch-wide weights.
                The losses are not multiplied by it.
            seed: As for `losses`.
        """
        losses = self.losses(
            labels, teacher_logits, student_logits, sample_weight=sample_weight, seed=seed
        )
        weights = self.weights(labels, teacher_logits)
        if weights is None:
            return losses
        return losses * ops.cast(normalize(weights, sample_weight), losses.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Objective:
        """Creates an objective from its configuration."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def normalize(
    weights: Any, sample_weight: Any = None, reduce: Callable[[Any], Any] | None = None
) -> Any:
    """Scales batch-wide weights to a mean of one over the batch.

    The mean of weighted losses then equals the sum of losses times weights that sum to one, as in
    Furlanello et al., 2018, eq. 9 and 10. Samples of weight zero are not part of the batch.

    Args:
        weights: `[batch, ...]`, not negative.
        sample_weight: `[batch]` or `[batch, ...]`, or None for equal weights.
        reduce: Sums a scalar over replicas.

    Returns:
        `weights * sum(sample_weight) / sum(sample_weight * weights)`, `[batch, ...]`; zeros
        if the total weight is zero.
    """
    weights = ops.stop_gradient(weights)
    counted = counts(sample_weight, weights)
    total, weighted = ops.sum(counted), ops.sum(counted * weights)
    if reduce is not None:
        total, weighted = reduce(total), reduce(weighted)
    return weights * ops.divide_no_nan(total, weighted)


def counts(sample_weight: Any, like: Any) -> Any:
    """Returns the weight of each sample, with the shape `[batch, ...]` and dtype of `like`.

    Args:
        sample_weight: `[batch]`, `[batch, ...]` or `[batch, ..., 1]`; None for equal weights.
        like: `[batch, ...]`.
    """
    if sample_weight is None:
        return ops.ones_like(like)
    sample_weight = ops.cast(sample_weight, like.dtype)
    if len(sample_weight.shape) > len(like.shape):
        sample_weight = ops.squeeze(sample_weight, axis=-1)
    while len(sample_weight.shape) < len(like.shape):
        sample_weight = ops.expand_dims(sample_weight, axis=-1)
    return sample_weight * ops.ones_like(like)


def as_float(logits: Any) -> Any:
    """Returns logits as float64 if they are, otherwise as float32."""
    logits = ops.convert_to_tensor(logits)
    wide = keras.backend.standardize_dtype(logits.dtype) == "float64"
    return ops.cast(logits, "float64" if wide else "float32")


def as_pair(teacher_logits: Any, student_logits: Any) -> tuple[Any, Any]:
    """Returns the teacher's and the student's logits in one precision.

    Args:
        teacher_logits: `[batch, ..., classes]`.
        student_logits: `[batch, ..., classes]`.

    Returns:
        Both in the student's precision (`as_float`), the teacher's without gradient.

    Raises:
        InputError: Their shapes differ; broadcasting would hide that.
    """
    student_logits = as_float(student_logits)
    teacher_logits = ops.cast(ops.convert_to_tensor(teacher_logits), student_logits.dtype)
    theirs, ours = tuple(teacher_logits.shape), tuple(student_logits.shape)
    if len(theirs) != len(ours) or any(
        None not in pair and pair[0] != pair[1] for pair in zip(theirs, ours, strict=True)
    ):
        raise InputError(
            "`teacher_logits` and `student_logits` must have one shape, [batch, ..., classes]. "
            f"Received: {theirs} and {ours}"
        )
    return ops.stop_gradient(teacher_logits), student_logits


def as_class_pair(teacher_logits: Any, student_logits: Any) -> tuple[Any, Any]:
    """Returns `as_pair` for logits in which classes may be ruled out by minus infinity.

    Differences and products of infinities would be NaN, so these logits become `RULED_OUT`. The
    student cannot learn a class that it rules out, so the teacher's distribution is conditioned
    on the others; `has_any` returns where it has any of them. A class that only the teacher rules
    out keeps its probability of 0.
    """
    teacher_logits, student_logits = as_pair(teacher_logits, student_logits)
    student_logits = ops.maximum(student_logits, RULED_OUT)
    teacher_logits = ops.where(
        is_possible(student_logits), ops.maximum(teacher_logits, RULED_OUT), RULED_OUT
    )
    return ops.stop_gradient(teacher_logits), student_logits


def is_possible(logits: Any) -> Any:
    """Returns which classes logits `[batch, ..., classes]` do not rule out."""
    return logits > RULED_OUT / 1e7


def has_any(logits: Any) -> Any:
    """Returns where logits `[batch, ..., classes]` have any possible class, `[batch, ...]`."""
    return ops.any(is_possible(logits), axis=-1)


def teacher_probabilities(teacher_logits: Any) -> Any:
    """Returns the teacher's distribution `[batch, ..., classes]` without gradient."""
    return ops.softmax(ops.stop_gradient(as_float(teacher_logits)), axis=-1)


def at_temperature(objective: Any, temperature: Any) -> Any:
    """Returns an objective, or a dictionary of them, at the temperature of a scalar tensor."""
    if isinstance(objective, Mapping):
        return {name: at_temperature(entry, temperature) for name, entry in objective.items()}
    if objective is None or objective.temperature is None:
        return objective
    softened = copy.copy(objective)  # not in use by a model yet
    softened.temperature = temperature
    return softened


def take_into_use(objective: Any) -> None:
    """Marks an objective, or all in a dictionary, as in use, so that arguments are read-only."""
    for entry in objective.values() if isinstance(objective, Mapping) else [objective]:
        if isinstance(entry, Objective):
            vars(entry)["_in_use"] = True
            take_into_use(getattr(entry, "objective", None))  # a nested objective


def shared_temperature(objective: Any) -> float | None:
    """Returns the temperature of an objective, or of all in a dictionary that have one.

    None if there is none, if they differ, or if one cannot be traced as a tensor.
    """
    several = objective.values() if isinstance(objective, Mapping) else [objective]
    softened = [entry for entry in several if entry is not None and entry.temperature is not None]
    if not all(entry.traces_temperature for entry in softened):
        return None
    found = {entry.temperature for entry in softened}
    return found.pop() if len(found) == 1 else None


def needs_teacher(objective: Any) -> bool:
    """Returns whether an objective, or any in a dictionary, uses a teacher."""
    return getattr(objective, "needs_teacher", True)


def softened(logits: Any, temperature: Any) -> Any:
    """Returns logits divided by a temperature, a number or a scalar tensor."""
    return logits / ops.convert_to_tensor(temperature, logits.dtype)


def squared(temperature: Any, like: Any) -> Any:
    """Returns the square of a temperature, a number or a scalar tensor, in the dtype of `like`."""
    return ops.convert_to_tensor(temperature**2, like.dtype)


def check_temperature(temperature: float) -> float:
    """Returns the temperature as a float.

    Raises:
        InputError: It is not positive and finite.
    """
    if not 0 < _as_number(temperature) < float("inf"):
        raise InputError(f"`temperature` must be positive and finite. Received: {temperature!r}")
    if not 1e-6 <= temperature <= 1e6:
        raise InputError(
            "`temperature` must be from 1e-06 to 1e+06: beyond, rounding leaves nothing of the "
            f"differences between classes. Received: {temperature!r}"
        )
    return float(temperature)


def check_weight(name: str, weight: float) -> float:
    """Returns a weight as a float.

    Raises:
        InputError: It is negative or not finite.
    """
    if not 0 <= _as_number(weight) < float("inf"):
        raise InputError(f"`{name}` must be a finite number of at least 0. Received: {weight!r}")
    return float(weight)


def _as_number(value: Any) -> float:
    """Returns a number or scalar array as a float; NaN for other values."""
    try:
        return float("nan") if isinstance(value, (str, bytes, bool, np.bool_)) else float(value)
    except (TypeError, ValueError):
        return float("nan")
