"""Knowledge distillation from the teacher's distribution (BAN)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.compat.loss_kinds import CATEGORICAL, KINDS, VALUES
from ban_tf.objectives.objective import (
    RULED_OUT,
    Objective,
    as_class_pair,
    check_temperature,
    has_any,
    is_possible,
    softened,
    squared,
)
from ban_tf.objectives.regression import SquaredError


def divergence(teacher_logits: Any, student_logits: Any, temperature: Any = 1.0) -> Any:
    """Returns `T^2 KL(p_T || q_T)` of each sample.

    The gradient with respect to student logits is that of the cross-entropy to the teacher,
    `T (q_T - p_T)` (Furlanello et al., 2018, eq. 5, where T is 1); but unlike the cross-entropy
    it is zero if the distributions are equal. Computed from log-probabilities, which are finite
    when probabilities underflow. Zero if the teacher has no class that the student could learn.

    Args:
        teacher_logits: `[batch, ..., classes]`, as from `as_class_pair`.
        student_logits: `[batch, ..., classes]`.
        temperature: T, positive; a number or a scalar tensor.

    Returns:
        `[batch, ...]`.
    """
    log_p = ops.log_softmax(softened(teacher_logits, temperature), axis=-1)
    log_q = ops.log_softmax(softened(student_logits, temperature), axis=-1)
    losses = ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)
    losses = ops.where(has_any(teacher_logits), losses, 0.0)
    return squared(temperature, losses) * losses


def standardized(logits: Any) -> Any:
    """Standardizes logits `[batch, ..., classes]` to mean 0 and deviation 1 per sample.

    As in the paper (Sun et al., 2024), the variance is divided by the number of classes, not by one
    less; ruled-out classes are excluded and stay ruled out. Logits that are all equal become
    zeros, and so does their gradient, where the derivative of the square root would be infinite.
    """
    possible = is_possible(logits)
    count = ops.maximum(ops.sum(ops.cast(possible, logits.dtype), axis=-1, keepdims=True), 1.0)

    def mean(values: Any) -> Any:
        return ops.sum(ops.where(possible, values, 0.0), axis=-1, keepdims=True) / count

    centered = ops.where(possible, logits, 0.0) - mean(logits)
    variance = mean(ops.square(centered))
    return ops.where(possible, centered / ops.sqrt(ops.maximum(variance, 1e-14)), RULED_OUT)


@keras.saving.register_keras_serializable("ban_tf")
class DarkKnowledge(Objective):
    """Matches the teacher's distribution (eq. 5 of Furlanello et al., 2018); BAN.

    Args:
        temperature: Softens both distributions; the loss is multiplied by its square, so that the
            scale of gradients does not change (Hinton et al., 2015). The paper uses 1.
        standardize: Whether the logits of each sample are standardized before they are divided
            by the temperature, so that the student's logits may have another scale (Sun et al.,
            2024, who use a temperature of 2). With two classes only their order remains, and
            there is no gradient.

    Raises:
        InputError: The temperature is not positive.
    """

    kinds: tuple[str, ...] = KINDS
    traces_temperature = True

    def __init__(self, temperature: float = 1.0, standardize: bool = False):
        self.temperature = check_temperature(temperature)
        self.standardize = bool(standardize)
        if self.standardize:
            self.kinds = (CATEGORICAL,)

    def for_kind(self, kind: str, output: str) -> Objective:
        """Returns the objective for a kind of output; for values that is the squared error.

        The squared error is the divergence between normal distributions of equal variance around
        the teacher's and the student's value.
        """
        fit = super().for_kind(kind, output)
        return SquaredError() if kind == VALUES else fit

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns `T^2 KL(p_T || q_T)` of each sample, `[batch, ...]`."""
        teacher_logits, student_logits = as_class_pair(teacher_logits, student_logits)
        if self.standardize:
            teacher_logits = standardized(teacher_logits)
            student_logits = standardized(student_logits)
        return divergence(teacher_logits, student_logits, self.temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"temperature": self.temperature, "standardize": self.standardize}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DarkKnowledge:
        """Creates the objective from its configuration; accepts the former spelling, too."""
        config = dict(config)
        if "standardise" in config:
            config["standardize"] = config.pop("standardise")
        return cls(**config)

    def why_idle(self, classes: int, samples: int | None = None) -> str | None:
        """Returns a reason for standardized logits of two classes, which are always 1 and -1."""
        if self.standardize and classes == 2:
            return "the standardized logits of two classes are always 1 and -1; give 'kd'"
        return None
