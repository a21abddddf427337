"""Labels weighted by the teacher's confidence: what is left of it without its dark knowledge."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.objectives.labels import cross_entropy, distribution
from ban_tf.objectives.objective import Objective, as_float, teacher_probabilities


@keras.saving.register_keras_serializable("ban_tf")
class ConfidenceWeighted(Objective):
    """Label cross-entropy, weighted by the teacher's maximum probability; CWTM.

    Furlanello et al., 2018, eq. 10. The maximum counts even where the teacher is wrong, and the
    weights sum to one over the batch.
    """

    needs_labels = True

    def losses(
        self, labels: Any, teacher_logits: Any, student_logits: Any, *, seed: Any = None
    ) -> Any:
        """Returns the label cross-entropy of each sample, `[batch, ...]`, without its weight."""
        return cross_entropy(labels, student_logits)

    def weights(self, labels: Any, teacher_logits: Any) -> Any:
        """Returns the teacher's maximum probability, `[batch, ...]`."""
        return ops.max(teacher_probabilities(teacher_logits), axis=-1)


@keras.saving.register_keras_serializable("ban_tf")
class ImportanceWeighted(ConfidenceWeighted):
    """Label cross-entropy, weighted by the teacher's probability of the true class (eq. 9)."""

    def weights(self, labels: Any, teacher_logits: Any) -> Any:
        """Returns the teacher's probability of the true class, `[batch, ...]`."""
        target = distribution(labels, as_float(teacher_logits))
        return ops.sum(target * teacher_probabilities(teacher_logits), axis=-1)
