"""Linear annealing from the label loss to the teacher loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.errors import InputError
from ban_tf.objectives import label_forms
from ban_tf.objectives.labels import cross_entropy
from ban_tf.objectives.lookup import get
from ban_tf.objectives.objective import CLASSES, Objective


@keras.saving.register_keras_serializable("ban_tf")
class Progressive(Objective):
    """A mixture of label and teacher loss in which the weight of the teacher grows from 0 to 1.

    `(1 - a) * (label cross-entropy) + a * (objective)`, where a is step / steps and then stays 1.
    Furlanello et al., 2018, tried such progressive constraints, and found the students slightly
    worse.

    Args:
        objective: As for `ban_tf.objectives.get`; it must not use batch-wide weights.
        steps: Optimizer steps after which only the teacher counts.

    Raises:
        InputError: `steps` is below 1, or the objective uses batch-wide weights.
    """

    kinds: tuple[str, ...] = CLASSES
    needs_labels = True

    def __init__(self, objective: Any = "kd", steps: int = 1):
        self.objective = get(objective)
        if steps < 1:
            raise InputError(f"`steps` must be at least 1. Received: {steps}")
        if type(self.objective).weights is not Objective.weights:
            raise InputError(
                f"{type(self.objective).__name__} weights the labels of a batch by the teacher, "
                "and has no teacher loss to anneal to."
            )
        self.steps = int(steps)
        self.kinds = tuple(kind for kind in CLASSES if kind in self.objective.kinds)

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the mixture for each sample, `[batch, ...]`; without a seed, the teacher loss.

        It is zero for missing labels.
        """
        teacher_term = self.objective.losses(
            labels, teacher_logits, student_logits, sample_weight=sample_weight, seed=seed
        )
        if seed is None:
            return teacher_term
        label_term = ops.cast(cross_entropy(labels, student_logits), teacher_term.dtype)
        form = label_forms.read(labels, student_logits)
        # The second number of a train step's seed is its step.
        step = ops.cast(ops.convert_to_tensor(seed)[1], teacher_term.dtype)
        share = ops.minimum(step / self.steps, 1.0)
        mixture = (1.0 - share) * label_term + share * teacher_term
        return label_forms.where_valid(form, mixture)

    def why_idle(self, classes: int, samples: int | None = None) -> str | None:
        """Returns the reason of the final objective."""
        return self.objective.why_idle(classes, samples)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        objective = keras.saving.serialize_keras_object(self.objective)
        return {"objective": objective, "steps": self.steps}
