"""Decoupled knowledge distillation: separate weights for the true class and the others."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.errors import InputError
from ban_tf.objectives import label_forms
from ban_tf.objectives.objective import (
    CLASSES,
    RULED_OUT,
    Objective,
    as_class_pair,
    check_temperature,
    check_weight,
    has_any,
    softened,
    squared,
)


def decoupled_divergences(target: Any, teacher_logits: Any, student_logits: Any) -> tuple[Any, Any]:
    """Splits KL(p || q) into the divergences of the target class and of the others.

    With `p_t` the teacher's probability of the target, KL(p || q) is the first of the returned
    divergences plus `(1 - p_t)` times the second (Zhao et al., 2022, eq. 6).

    Args:
        target: Target class, integers `[batch, ...]`.
        teacher_logits: `[batch, ..., classes]`.
        student_logits: `[batch, ..., classes]`.

    Returns:
        The divergence between the binary distributions "target or not", and that between the
        distributions over the classes that are not the target; `[batch, ...]` each.
    """
    is_target = ops.one_hot(target, student_logits.shape[-1], dtype="bool")
    p_binary, p_others = _log_split(is_target, teacher_logits)
    q_binary, q_others = _log_split(is_target, student_logits)
    of_target = ops.sum(ops.exp(p_binary) * (p_binary - q_binary), axis=-1)
    of_others = ops.sum(ops.exp(p_others) * (p_others - q_others), axis=-1)
    # Zero if the teacher has no class besides the target.
    beside = has_any(ops.where(is_target, RULED_OUT, teacher_logits))
    return of_target, ops.where(beside, of_others, 0.0)


def _log_split(is_target: Any, logits: Any) -> tuple[Any, Any]:
    """Returns log-probabilities of (target, not target) `[..., 2]` and of the others."""
    # The target has probability 0 among the others, with a finite logarithm.
    others = ops.where(is_target, ops.cast(RULED_OUT, logits.dtype), logits)
    of_target = ops.sum(ops.where(is_target, logits, ops.zeros_like(logits)), axis=-1)
    # From logits instead of log(1 - p_t), which rounding can make infinite.
    binary = ops.stack([of_target, ops.logsumexp(others, axis=-1)], axis=-1)
    return ops.log_softmax(binary, axis=-1), ops.log_softmax(others, axis=-1)


@keras.saving.register_keras_serializable("ban_tf")
class DecoupledKnowledge(Objective):
    """Decoupled knowledge distillation (Zhao et al., 2022); DKD.

    `T^2 (alpha TCKD + beta NCKD)`, eq. 7 of that paper: ordinary distillation weights the
    knowledge about the other classes (NCKD) by one minus the teacher's probability of the target,
    which is small if the teacher is confident. The paper adds the label cross-entropy; the warm-up
    of the loss over the first epochs, in its code, is not implemented.

    Args:
        alpha: Weight of the target-class divergence.
        beta: Weight of the non-target-class divergence, which the paper tunes per pair of
            networks; 8 is the default of its code for CIFAR-100.
        temperature: As for `DarkKnowledge`.

    Raises:
        InputError: A weight is negative, both are 0, or the temperature is not positive.
    """

    kinds = CLASSES
    needs_labels = True
    label_weight = 1.0
    traces_temperature = True

    def __init__(self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0):
        self.alpha = check_weight("alpha", alpha)
        self.beta = check_weight("beta", beta)
        if not self.alpha and not self.beta:
            raise InputError(
                "`alpha` and `beta` are both 0, which leaves no loss; give one weight."
            )
        self.temperature = check_temperature(temperature)

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the loss per sample, `[batch, ...]`; the target of a soft label is its argmax.

        The loss is zero without a label.
        """
        teacher_logits, student_logits = as_class_pair(teacher_logits, student_logits)
        form = label_forms.read(labels, student_logits)
        target = form.values if form.is_index else ops.argmax(form.values, axis=-1)
        of_target, of_others = decoupled_divergences(
            target,
            softened(teacher_logits, self.temperature),
            softened(student_logits, self.temperature),
        )
        losses = self.alpha * of_target + self.beta * of_others
        return label_forms.where_valid(form, squared(self.temperature, losses) * losses)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"alpha": self.alpha, "beta": self.beta, "temperature": self.temperature}

    def why_idle(self, classes: int, samples: int | None = None) -> str | None:
        """Returns a reason for two classes: besides the target there is only one."""
        if classes == 2 and not self.alpha:
            return "`alpha` is 0 and there are only two classes; give `alpha` a weight"
        return None
