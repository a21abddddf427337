"""Objectives for regression: the student matches the values of its teacher."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.compat.loss_kinds import VALUES
from ban_tf.errors import InputError
from ban_tf.objectives.objective import Objective, as_pair, check_weight
from ban_tf.system.arguments import is_number


@keras.saving.register_keras_serializable("ban_tf")
class SquaredError(Objective):
    """The mean squared error to the teacher's value."""

    kinds = (VALUES,)

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the squared error, averaged over the last axis, `[batch, ...]`.

        Args:
            labels: Not used.
            teacher_logits: The teacher's values, `[batch, ..., units]`.
            student_logits: The student's values, `[batch, ..., units]`.
            sample_weight: Not used.
            seed: Not used.
        """
        theirs, ours = as_pair(teacher_logits, student_logits)
        return ops.mean(ops.square(ours - theirs), axis=-1)


@keras.saving.register_keras_serializable("ban_tf")
class HuberError(Objective):
    """The Huber error to the teacher's value: squared if small, absolute if large.

    Args:
        delta: The threshold between the two.

    Raises:
        InputError: `delta` is not positive.
    """

    kinds = (VALUES,)

    def __init__(self, delta: float = 1.0):
        if not is_number(delta) or not 0 < delta < float("inf"):
            raise InputError(f"`delta` must be a finite number above 0. Received: {delta!r}")
        self.delta = float(delta)

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the Huber error, averaged over the last axis; see `SquaredError.losses`."""
        theirs, ours = as_pair(teacher_logits, student_logits)
        error = ops.abs(ours - theirs)
        near = ops.minimum(error, self.delta)  # so that the other branch has no gradient
        return ops.mean(0.5 * ops.square(near) + self.delta * (error - near), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"delta": self.delta}


@keras.saving.register_keras_serializable("ban_tf")
class TeacherBounded(Objective):
    """The squared error to the label if the student is not better than its teacher.

    Chen et al., 2017, "Learning Efficient Object Detection Models with Knowledge Distillation",
    eq. 4: `|s - y|^2` where `|s - y|^2 + margin > |t - y|^2`, else 0. The teacher's value is a
    bound, not a target. The paper adds the label loss (eq. 5), with `teacher_weight` as its nu.

    Args:
        margin: The required difference of the teacher's and the student's squared error.

    Raises:
        InputError: The margin is negative or not finite.
    """

    needs_labels = True
    label_weight = 1.0
    kinds = (VALUES,)

    def __init__(self, margin: float = 0.0):
        self.margin = check_weight("margin", margin)

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the loss of each sample, summed over the last axis, `[batch, ...]`.

        Args:
            labels: Values `[batch, ..., units]`, or `[batch, ...]` of a single unit.
            teacher_logits: The teacher's values, `[batch, ..., units]`.
            student_logits: The student's values, `[batch, ..., units]`.
            sample_weight: Not used.
            seed: Not used.

        Raises:
            InputError: The labels have another shape.
        """
        theirs, ours = as_pair(teacher_logits, student_logits)
        labels = _values(labels, ours)
        theirs = ops.sum(ops.square(theirs - labels), axis=-1)
        ours = ops.sum(ops.square(ours - labels), axis=-1)
        return ops.where(ours + self.margin > theirs, ours, ops.zeros_like(ours))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"margin": self.margin}


def _values(labels: Any, like: Any) -> Any:
    """Returns labels in the shape and dtype of values `[batch, ..., units]`."""
    if labels is None:
        raise InputError("`labels` is None, but this objective needs labels.")
    labels = ops.cast(ops.convert_to_tensor(labels), like.dtype)
    if len(labels.shape) == len(like.shape) - 1 and like.shape[-1] == 1:
        labels = ops.expand_dims(labels, axis=-1)
    if len(labels.shape) != len(like.shape) or labels.shape[-1] != like.shape[-1]:
        raise InputError(
            f"`labels` must be values [batch, ..., units] for outputs of shape "
            f"{tuple(like.shape)}. Received shape: {tuple(labels.shape)}"
        )
    return labels
