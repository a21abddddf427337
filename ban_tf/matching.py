"""How well one output of a student matches its teacher's, as an objective measures it."""

from __future__ import annotations

from typing import Any

from keras import ops

from ban_tf import distribute, objectives, weighting


def loss(
    objective: objectives.Objective,
    labels: Any,
    teacher_logits: Any,
    student_logits: Any,
    *,
    output: Any,
    sample_weight: Any,
    seed: Any,
) -> Any:
    """Returns the mean of an objective over all that counts, a scalar.

    Args:
        objective: What to match.
        labels: As for `Objective.losses`.
        teacher_logits: `[batch, ..., classes]`.
        student_logits: `[batch, ..., classes]`.
        output: The student's output as it came, with Keras's mask.
        sample_weight: `[batch]` or `[batch, ...]`, or None.
        seed: As for `Objective.losses`.
    """
    counted = weighting.combine(sample_weight, weighting.mask_of(output), student_logits[..., 0])
    losses = objective.losses(
        labels, teacher_logits, student_logits, sample_weight=counted, seed=seed
    )
    weights = objective.weights(labels, teacher_logits)
    if weights is not None:
        # A global batch is one batch, however many replicas share it.
        losses = losses * objectives.normalise(weights, counted, distribute.sum_over_replicas)
    return weighting.reduce(losses, output, sample_weight)


def agreement(teacher_logits: Any, student_logits: Any, output: Any) -> tuple[Any, Any]:
    """Returns where both predict the same class, `[batch, ...]`, and the mask or None."""
    agree = ops.argmax(student_logits, axis=-1) == ops.argmax(teacher_logits, axis=-1)
    agree = ops.cast(agree, "float32")
    return agree, weighting.combine(None, weighting.mask_of(output), agree)
