"""DIST: match the teacher's relations between classes and samples, not its probabilities."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.errors import InputError
from ban_tf.objectives.objective import (
    CLASSES,
    Objective,
    as_class_pair,
    check_temperature,
    check_weight,
    counts,
    is_possible,
    softened,
    squared,
)


def pearson_distance(a: Any, b: Any, weight: Any, axis: int) -> Any:
    """Returns one minus the weighted Pearson correlation of two arrays along an axis.

    Args:
        a: `[samples, classes]`.
        b: `[samples, classes]`.
        weight: Weight of each entry, broadcast; weights of one give the ordinary correlation.
        axis: The axis of the correlation.

    Returns:
        The distance, between 0 and 2, without that axis; 1 if an array is constant.
    """
    return 1.0 - ops.sum(
        weight * _standard(a, weight, axis) * _standard(b, weight, axis), axis=axis
    )


def _standard(x: Any, weight: Any, axis: int) -> Any:
    """Shifts `x` to a weighted mean of 0 and scales it to a weighted norm of 1 along an axis."""

    def total(values: Any) -> Any:
        return ops.sum(weight * values, axis=axis, keepdims=True)

    centerd = x - ops.divide_no_nan(total(x), total(ops.ones_like(x)))
    square = total(ops.square(centerd))
    # Variation due to rounding counts as none; scaled up, it would give huge gradients.
    varies = square > 1e-12 * total(ops.square(x))
    norm = ops.sqrt(ops.where(varies, square, ops.ones_like(square)))
    return ops.where(varies, centerd / norm, ops.zeros_like(x))


@keras.saving.register_keras_serializable("ban_tf")
class RelationalMatch(Objective):
    """Knowledge distillation from a stronger teacher (Huang et al., 2022); DIST.

    `T^2 (beta inter + gamma intra)`, where `inter` is the Pearson distance between the teacher's
    and the student's probabilities of one sample, and `intra` that between their probabilities
    of one class over the batch, averaged over classes. The paper adds the label cross-entropy.

    `intra` belongs to the batch: it is added to every sample, so that the mean is the paper's
    loss. Leading dimensions (the steps of a sequence) count as samples, weighted by their
    sample weights. On several replicas the batch is that of the replica.

    Args:
        beta: Weight of the relation between classes.
        gamma: Weight of the relation between samples.
        temperature: As for `DarkKnowledge`.

    Raises:
        InputError: A weight is negative, both are 0, or the temperature is not positive.
    """

    kinds = CLASSES
    label_weight = 1.0
    traces_temperature = True

    def __init__(self, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0):
        self.beta = check_weight("beta", beta)
        self.gamma = check_weight("gamma", gamma)
        if not self.beta and not self.gamma:
            raise InputError(
                "`beta` and `gamma` are both 0, which leaves no loss; give one weight."
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
        """Returns the loss of each sample plus that of the batch, `[batch, ...]`."""
        teacher_logits, student_logits = as_class_pair(teacher_logits, student_logits)
        shape, classes = ops.shape(student_logits)[:-1], student_logits.shape[-1]
        counted = counts(sample_weight, student_logits[..., 0])
        teacher_logits = ops.reshape(teacher_logits, (-1, classes))
        student_logits = ops.reshape(student_logits, (-1, classes))
        p = ops.softmax(softened(teacher_logits, self.temperature), axis=-1)
        q = ops.softmax(softened(student_logits, self.temperature), axis=-1)
        # A class that is ruled out for a sample is part of neither relation.
        possible = ops.cast(is_possible(student_logits), p.dtype)
        inter = pearson_distance(p, q, possible, axis=1)
        weight = ops.reshape(counted, (-1, 1)) * possible
        occurs = ops.cast(ops.max(possible, axis=0, initial=0.0) > 0, p.dtype)
        by_class = pearson_distance(p, q, weight, axis=0)
        intra = ops.divide_no_nan(ops.sum(occurs * by_class), ops.sum(occurs))
        losses = self.beta * inter + self.gamma * intra
        return ops.reshape(squared(self.temperature, losses) * losses, shape)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"beta": self.beta, "gamma": self.gamma, "temperature": self.temperature}

    def why_idle(self, classes: int, samples: int | None = None) -> str | None:
        """Returns a reason for one or two numbers, whose correlation is constant."""
        between_classes = self.beta > 0 and classes > 2
        between_samples = self.gamma > 0 and (samples is None or samples > 2)
        if between_classes or between_samples:
            return None
        if not self.gamma:
            return (
                "`gamma` is 0, and two classes of one sample are always correlated; give `gamma` a "
                "weight"
            )
        compared = "" if classes > 2 else ", and so are two classes of one sample"
        return (
            f"two samples of a batch are always correlated{compared}; give batches of at least 3 "
            "samples"
        )
