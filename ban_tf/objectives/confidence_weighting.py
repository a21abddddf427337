"""CWTM and importance weighting: labels weighted by teacher confidence."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.objectives import label_forms
from ban_tf.objectives.labels import cross_entropy
from ban_tf.objectives.objective import CLASSES, Objective, teacher_probabilities


@keras.saving.register_keras_serializable("ban_tf")
class ConfidenceWeighted(Objective):
    """Label cross-entropy, weighted by the teacher's maximum probability; CWTM.

    Furlanello et al., 2018, eq. 10. The maximum is used even if the teacher is wrong, and the
    weights sum to one over the batch.
    """

    kinds = CLASSES
    needs_labels = True

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the label cross-entropy of each sample, `[batch, ...]`, without its weight."""
        return cross_entropy(labels, student_logits)

    def weights(self, labels: Any, teacher_logits: Any) -> Any:
        """Returns the teacher's maximum probability, `[batch, ...]`; 0 without a label."""
        highest = ops.max(teacher_probabilities(teacher_logits), axis=-1, initial=0.0)
        return label_forms.where_valid(label_forms.read(labels, teacher_logits), highest)


@keras.saving.register_keras_serializable("ban_tf")
class ImportanceWeighted(ConfidenceWeighted):
    """Label cross-entropy, weighted by the teacher's probability of the true class.

    Furlanello et al., 2018, eq. 9: the true-class term of distillation.
    """

    def weights(self, labels: Any, teacher_logits: Any) -> Any:
        """Returns the teacher's probability of the true class, `[batch, ...]`; 0 without one."""
        probabilities = teacher_probabilities(teacher_logits)
        return ops.sum(label_forms.distribution(labels, probabilities) * probabilities, axis=-1)
