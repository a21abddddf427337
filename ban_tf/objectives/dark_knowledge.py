"""Knowledge distillation: the whole distribution of the teacher (BAN)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.objectives.objective import (
    Objective,
    as_float,
    check_temperature,
    teacher_probabilities,
)


def divergence(probabilities: Any, student_logits: Any) -> Any:
    """Returns KL(probabilities || softmax(student_logits)), `[batch, ...]`.

    Its gradient is that of the cross-entropy, q - p (Furlanello et al., 2018, eq. 5); unlike
    the cross-entropy it is zero when the student believes what the teacher does.
    """
    # xlogy(0, 0) is 0: classes that the teacher rules out cost nothing.
    entropy = ops.where(
        probabilities > 0,
        probabilities * ops.log(ops.where(probabilities > 0, probabilities, 1.0)),
        0.0,
    )
    return ops.sum(entropy - probabilities * ops.log_softmax(student_logits, axis=-1), axis=-1)


@keras.saving.register_keras_serializable("ban_tf")
class DarkKnowledge(Objective):
    """Match the teacher's distribution (eq. 5 of Furlanello et al., 2018); BAN.

    Args:
        temperature: Both distributions are softened by it, and the loss is multiplied by its
            square, so that gradients keep their size (Hinton et al., 2015). The paper uses 1.
        standardise: Logits of each sample are standardised first (Sun et al., 2024).

    Raises:
        ValueError: The temperature is not positive.
    """

    def __init__(self, temperature: float = 1.0, standardise: bool = False):
        self.temperature = check_temperature(temperature)
        self.standardise = standardise

    def losses(
        self, labels: Any, teacher_logits: Any, student_logits: Any, *, seed: Any = None
    ) -> Any:
        """Returns T^2 KL(p_T || q_T) of each sample, `[batch, ...]`."""
        teacher_logits, student_logits = as_float(teacher_logits), as_float(student_logits)
        if self.standardise:
            teacher_logits, student_logits = _standard(teacher_logits), _standard(student_logits)
        probabilities = teacher_probabilities(teacher_logits, self.temperature)
        return self.temperature**2 * divergence(probabilities, student_logits / self.temperature)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"temperature": self.temperature, "standardise": self.standardise}


def _standard(logits: Any) -> Any:
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    # The gradient of a square root is infinite at zero.
    return centred / (ops.sqrt(ops.maximum(variance, 1e-16)) + 1e-7)
