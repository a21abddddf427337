"""Knowledge distillation: the whole distribution of the teacher (BAN)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.loss_kinds import CATEGORICAL, KINDS, VALUES
from ban_tf.objectives.objective import Objective, as_pair, check_temperature, softened, squared
from ban_tf.objectives.regression import SquaredError


def divergence(teacher_logits: Any, student_logits: Any, temperature: Any = 1.0) -> Any:
    """Returns `T^2 KL(p_T || q_T)` of each sample.

    The gradient with respect to student logits is that of the cross-entropy to the teacher,
    `T (q_T - p_T)` (Furlanello et al., 2018, eq. 5, where T is 1); but unlike the cross-entropy
    it is zero when the student believes what the teacher does. Computed from log-probabilities,
    which are finite where probabilities vanish.

    Args:
        teacher_logits: `[batch, ..., classes]`, as from `as_pair`.
        student_logits: `[batch, ..., classes]`.
        temperature: T, positive; a number or a scalar tensor.

    Returns:
        `[batch, ...]`.
    """
    log_p = ops.log_softmax(softened(teacher_logits, temperature), axis=-1)
    log_q = ops.log_softmax(softened(student_logits, temperature), axis=-1)
    losses = ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)
    return squared(temperature, losses) * losses


def standardised(logits: Any) -> Any:
    """Returns logits `[batch, ..., classes]` shifted and scaled to mean 0 and deviation 1 each.

    The deviation is that of the paper (Sun et al., 2024), divided by the number of classes and
    not by one less. Logits that are all equal become zeros, and so does their gradient, where
    the derivative of a square root would be infinite.
    """
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    return centred / ops.sqrt(ops.maximum(variance, 1e-14))


@keras.saving.register_keras_serializable("ban_tf")
class DarkKnowledge(Objective):
    """Match the teacher's distribution (eq. 5 of Furlanello et al., 2018); BAN.

    Args:
        temperature: Both distributions are softened by it, and the loss is multiplied by its
            square, so that gradients keep their size (Hinton et al., 2015). The paper uses 1.
        standardise: Whether the logits of each sample are standardised before they are divided
            by the temperature, so that the student may have logits of its own scale (Sun et al.,
            2024, who use a temperature of 2).

    Raises:
        ValueError: The temperature is not positive.
    """

    kinds = KINDS
    traces_temperature = True

    def __init__(self, temperature: float = 1.0, standardise: bool = False):
        self.temperature = check_temperature(temperature)
        self.standardise = bool(standardise)
        if self.standardise:
            self.kinds = (CATEGORICAL,)

    def for_kind(self, kind: str, output: str) -> Objective:
        """Returns the objective for an output; of values, the distance is the squared error.

        That is what the divergence is between normal distributions of one deviation around the
        teacher's and the student's value.
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
        teacher_logits, student_logits = as_pair(teacher_logits, student_logits)
        if self.standardise:
            teacher_logits = standardised(teacher_logits)
            student_logits = standardised(student_logits)
        return divergence(teacher_logits, student_logits, self.temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"temperature": self.temperature, "standardise": self.standardise}
