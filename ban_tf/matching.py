"""The terms of a student's loss, over all of its outputs: what labels say, what a teacher says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from ban_tf import checks, distribute, masks, objectives, outputs, weighting


class Answer(NamedTuple):
    """One output of a student: as it came (with Keras's mask), and as logits."""

    output: Any
    logits: Any


def answers(student: keras.Model, y_pred: Any, activation: str | None) -> dict[str, Answer]:
    """Returns a student's outputs by name.

    Args:
        student: The model.
        y_pred: Its outputs.
        activation: What the outputs are, where detection would err.
    """
    detected = outputs.final_activations(student)
    return {
        name: Answer(output, outputs.to_logits(output, activation or detected.get(name, "linear")))
        for name, output in outputs.named(y_pred, outputs.output_names(student)).items()
    }


def label_loss(
    loss: keras.losses.Loss, labels: Any, students: Mapping[str, Answer], sample_weight: Any
) -> Any:
    """Returns the sum of a loss over the outputs that there are labels for, a scalar."""
    labels = outputs.named(labels, list(students))
    weights = weighting.by_output(sample_weight, list(students))
    return sum(
        weighting.mean(
            loss,
            labels[name],
            masks.with_mask(answer.logits, masks.mask_of(answer.output)),
            weights.get(name),
        )
        for name, answer in students.items()
        if name in labels
    )


def teacher_loss(
    objective: Any,
    labels: Any,
    teacher_logits: Mapping[str, Any],
    students: Mapping[str, Answer],
    *,
    sample_weight: Any,
    seed: Any,
    watch: Callable[[Any, Any], None],
) -> Any:
    """Returns the sum of the objective over the outputs that learn from the teacher, a scalar.

    Args:
        objective: One for all outputs, or a dictionary from names to objectives.
        labels: As the user gave them, or None.
        teacher_logits: The teacher's logits by its outputs' names.
        students: The student's outputs.
        sample_weight: As the user gave it, or None.
        seed: Of this step's draws, see `Objective.losses`.
        watch: Is given, for each output, where both predict the same class, `[batch, ...]`, and
            the mask or None.

    Raises:
        ValueError: The teacher lacks an output.
    """
    labels = outputs.named(labels, list(students))
    weights = weighting.by_output(sample_weight, list(students))
    one_for_all = not isinstance(objective, Mapping)
    learning = [name for name in students if one_for_all or objective.get(name) is not None]
    theirs = outputs.aligned(outputs.aligned(teacher_logits, list(students)), learning)
    total = 0.0
    for name in learning:
        checks.check_opinion(name, theirs)
        output, logits = students[name]
        checks.check_classes(theirs[name].shape[-1], logits.shape[-1])
        agree = ops.argmax(logits, axis=-1) == ops.argmax(theirs[name], axis=-1)
        agree = ops.cast(agree, "float32")
        watch(agree, weighting.combine(None, masks.mask_of(output), agree))
        losses = _losses(
            objective if one_for_all else objective[name],
            labels.get(name),
            theirs[name],
            logits,
            weighting.combine(weights.get(name), masks.mask_of(output), logits[..., 0]),
            seed,
        )
        total = total + weighting.reduce(losses, output, weights.get(name))
    return total


def _losses(
    objective: objectives.Objective,
    labels: Any,
    teacher_logits: Any,
    logits: Any,
    counted: Any,
    seed: Any,
) -> Any:
    losses = objective.losses(labels, teacher_logits, logits, sample_weight=counted, seed=seed)
    weights = objective.weights(labels, teacher_logits)
    if weights is None:
        return losses
    # A global batch is one batch, however many replicas share it.
    return losses * objectives.normalise(weights, counted, distribute.sum_over_replicas)
