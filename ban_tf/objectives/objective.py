"""The base of all objectives: what a student is asked to match, sample by sample.

An objective gives a loss per sample. Where the paper weights samples against each other
(Furlanello et al., 2018, eq. 9 and 10), the weights are given apart and not normalized, so that
a train step can normalize them over all replicas with `normalize`. Sample weights, masks,
reductions and regularization are left to Keras.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from ban_tf.compat.loss_kinds import BINARY, CATEGORICAL, KINDS, VALUES
from ban_tf.errors import InputError

if TYPE_CHECKING:
    from ban_tf.objectives.keras_distillation import ObjectiveDistillation

CLASSES = (CATEGORICAL, BINARY)
_IN_WORDS = {CATEGORICAL: "categorical", BINARY: "binary", VALUES: "a regression (values)"}


# A logit far below any other, yet finite at any usual temperature: a probability of zero.
RULED_OUT = -1e30


class Objective:
    """What a student is asked to match.

    An objective knows neither models nor data. It gives a loss per sample (per token, for
    sequences). A subclass overrides `losses`, with this very signature; `weights`, if its samples
    are weighted against each other; and `get_config`, if its constructor takes arguments.

    Attributes:
        needs_labels: Whether the labels are looked at.
        needs_teacher: Whether the teacher's logits are looked at.
        label_weight: Weight of the label term that its paper adds.
        temperature: The number that logits are divided by, None if there is none.
        traces_temperature: Whether `losses` works, too, while `temperature` is a scalar tensor,
            which each step reads anew.
        kinds: The kinds of outputs that it is for: "categorical" (logits over the last axis),
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
            InputError: It is an argument of an objective that a model trains with: its steps are
                traced with what it was.
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
        """Returns what a copy has: all but that a model trains with it."""
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
                `[batch, ..., classes]`; None where `needs_labels` is False.
            teacher_logits: `[batch, ..., classes]`; no gradient flows into them.
            student_logits: `[batch, ..., classes]`.
            sample_weight: `[batch]` or `[batch, ...]`, for objectives that compare the samples of
                a batch with each other. It is not multiplied in: that is for whoever averages.
            seed: For objectives that draw at random: two integers such as (seed, step), as an
                int32 tensor `[2]` in a train step.

        Returns:
            `[batch, ...]`, float64 if logits are, else float32.
        """
        raise NotImplementedError

    def why_idle(self, classes: int, samples: int | None = None) -> str | None:
        """Returns why the gradient of `losses` is zero whatever the student says, if it is.

        Args:
            classes: How many classes the logits are of.
            samples: How many samples a batch has, positions of sequences counted; None if it is
                not known.

        Returns:
            The reason, to follow "cannot teach, because", and what would be right; None where there
            is a gradient.
        """
        return None

    def weights(self, labels: Any, teacher_logits: Any) -> Any:
        """Returns batch-wide weights `[batch, ...]`, not normalized; None if all are equal."""
        return None

    def for_kind(self, kind: str, output: str) -> Objective:
        """Returns this objective, or what it means for outputs of a kind.

        Args:
            kind: "categorical", "binary" or "values".
            output: The name of the output, for messages.

        Raises:
            InputError: It is not for outputs of that kind.
        """
        if kind in self.kinds:
            return self
        classes = "kd or another objective for classes"
        fit = "mse, huber, bounded or kd" if kind == VALUES else classes
        kinds = " and ".join("regression" if each == VALUES else each for each in self.kinds)
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
        """Returns the loss of each sample `[batch, ...]`, batch-wide weights included.

        Args:
            labels: As for `losses`.
            teacher_logits: As for `losses`.
            student_logits: As for `losses`.
            sample_weight: `[batch]` or `[batch, ...]`; enters how batch-wide weights are
                normalized, and is not itself multiplied in: that is for whoever averages.
            seed: As for `losses`.
        """
        losses = self.losses(
            labels, teacher_logits, student_logits, sample_weight=sample_weight, seed=seed
        )
        weights = self.weights(labels, teacher_logits)
        if weights is None:
            return losses
        return losses * ops.cast(normalize(weights, sample_weight), losses.dtype)

    def as_distillation_loss(self) -> ObjectiveDistillation:
        """Returns this objective as a `keras.distillation.DistillationLoss`.

        Raises:
            InputError: It needs labels, which Keras does not hand to distillation losses.
        """
        from ban_tf.objectives.keras_distillation import ObjectiveDistillation

        return ObjectiveDistillation(self)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Objective:
        """Makes an objective from its configuration."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def normalize(
    weights: Any, sample_weight: Any = None, reduce: Callable[[Any], Any] | None = None
) -> Any:
    """Scales batch-wide weights so that their mean over the batch is one.

    The mean of weighted losses is then the sum of losses times weights that sum to one, as in
    Furlanello et al., 2018, eq. 9 and 10. Samples of weight zero are not part of the batch.

    Args:
        weights: `[batch, ...]`, not negative.
        sample_weight: `[batch]` or `[batch, ...]`, or None where all count alike.
        reduce: Sums a scalar over replicas.

    Returns:
        `weights * sum(sample_weight) / sum(sample_weight * weights)`, `[batch, ...]`; zeros
        where the total weight is zero.
    """
    weights = ops.stop_gradient(weights)
    counted = counts(sample_weight, weights)
    total, weighted = ops.sum(counted), ops.sum(counted * weights)
    if reduce is not None:
        total, weighted = reduce(total), reduce(weighted)
    return weights * ops.divide_no_nan(total, weighted)


def counts(sample_weight: Any, like: Any) -> Any:
    """Returns how much each sample counts, with the shape `[batch, ...]` and dtype of `like`.

    Args:
        sample_weight: `[batch]`, `[batch, ...]` or `[batch, ..., 1]`; None where all count alike.
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
    """Returns logits as float64 if they are, else as float32, whatever the model computed in."""
    logits = ops.convert_to_tensor(logits)
    wide = keras.backend.standardize_dtype(logits.dtype) == "float64"
    return ops.cast(logits, "float64" if wide else "float32")


def as_pair(teacher_logits: Any, student_logits: Any) -> tuple[Any, Any]:
    """Returns the teacher's and the student's logits, ready to be compared.

    Args:
        teacher_logits: `[batch, ..., classes]`.
        student_logits: `[batch, ..., classes]`.

    Returns:
        Both in the student's precision (`as_float`), the teacher's without a gradient.

    Raises:
        InputError: Their shapes differ, which broadcasting would hide.
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
    """Returns `as_pair` of logits in which classes may be ruled out by minus infinity.

    Differences and products of infinities would be no numbers: these logits become `RULED_OUT`. A
    class that the student rules out is none that it can learn, so the teacher's distribution is
    conditioned on the others; `has_any` tells where it has none of them. A class that the teacher
    alone rules out keeps its probability of 0.
    """
    teacher_logits, student_logits = as_pair(teacher_logits, student_logits)
    student_logits = ops.maximum(student_logits, RULED_OUT)
    teacher_logits = ops.where(
        is_possible(student_logits), ops.maximum(teacher_logits, RULED_OUT), RULED_OUT
    )
    return ops.stop_gradient(teacher_logits), student_logits


def is_possible(logits: Any) -> Any:
    """Returns which classes logits `[batch, ..., classes]` do not rule out, at any temperature."""
    return logits > RULED_OUT / 1e7


def has_any(logits: Any) -> Any:
    """Returns where logits `[batch, ..., classes]` leave any class possible, `[batch, ...]`."""
    return ops.any(is_possible(logits), axis=-1)


def teacher_probabilities(teacher_logits: Any) -> Any:
    """Returns the teacher's distribution `[batch, ..., classes]`; no gradient flows into it."""
    return ops.softmax(ops.stop_gradient(as_float(teacher_logits)), axis=-1)


def at_temperature(objective: Any, temperature: Any) -> Any:
    """Returns an objective, or a dictionary of them, at the temperature of a scalar tensor."""
    if isinstance(objective, Mapping):
        return {name: at_temperature(each, temperature) for name, each in objective.items()}
    if objective is None or objective.temperature is None:
        return objective
    softened = copy.copy(objective)  # which no model has yet
    softened.temperature = temperature
    return softened


def take_into_use(objective: Any) -> None:
    """Keeps the arguments of an objective, or of all in a dictionary, from being assigned."""
    for each in objective.values() if isinstance(objective, Mapping) else [objective]:
        if isinstance(each, Objective):
            vars(each)["_in_use"] = True
            take_into_use(getattr(each, "objective", None))  # that another one is built on


def shared_temperature(objective: Any) -> float | None:
    """Returns the temperature of an objective, or of all in a dictionary that have one.

    None where there is none, where they differ, and where one cannot be traced as a tensor.
    """
    several = objective.values() if isinstance(objective, Mapping) else [objective]
    softened = [each for each in several if each is not None and each.temperature is not None]
    if not all(each.traces_temperature for each in softened):
        return None
    found = {each.temperature for each in softened}
    return found.pop() if len(found) == 1 else None


def needs_teacher(objective: Any) -> bool:
    """Tells whether an objective, or any in a dictionary, looks at a teacher."""
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
    """Returns a number, also a scalar array, as a float; NaN for all else."""
    try:
        return float("nan") if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError):
        return float("nan")
