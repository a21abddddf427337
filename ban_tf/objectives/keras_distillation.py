"""Objectives for Keras's `keras.distillation.Distiller`."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.compat.outputs import final_activations
from ban_tf.errors import InputError
from ban_tf.objectives.lookup import get


@keras.saving.register_keras_serializable("ban_tf")
class ObjectiveDistillation(keras.distillation.DistillationLoss):
    """The mean of an objective over the batch, as a `DistillationLoss` on logits.

    `Distiller` passes neither labels nor sample weights to its losses, so that only objectives
    without labels can be used. The losses of several outputs are added.

    Args:
        objective: As for `ban_tf.objectives.get`.

    Raises:
        InputError: The objective needs labels.
    """

    def __init__(self, objective: Any):
        self.objective = get(objective)
        if self.objective.needs_labels:
            raise InputError(
                f"`objective` {type(self.objective).__name__} needs labels, which "
                "keras.distillation does not pass on; use ban_tf.BornAgainModel for it."
            )

    def validate_model_compatibility(self, teacher: keras.Model, student: keras.Model) -> None:
        """Called by `Distiller` before training.

        Raises:
            InputError: A model returns probabilities, which would be treated as logits.
        """
        for name, model in (("teacher", teacher), ("student", student)):
            other = set(final_activations(model).values()) - {"linear"}
            if other:
                raise InputError(
                    f"`{name}` ends in a {other.pop()}, but an objective needs logits; leave the "
                    "last activation out, or use ban_tf.BornAgainModel, which takes both."
                )

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """Returns the mean loss, a scalar, of logits `[batch, ..., classes]`."""
        pairs = zip(
            keras.tree.flatten(teacher_outputs), keras.tree.flatten(student_outputs), strict=True
        )
        return sum(ops.mean(self.objective(None, teacher, student)) for teacher, student in pairs)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"objective": keras.saving.serialize_keras_object(self.objective)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ObjectiveDistillation:
        """Creates the loss from its configuration."""
        return cls(keras.saving.deserialize_keras_object(config["objective"]))


def as_distillation_loss(objective: Any) -> keras.distillation.DistillationLoss:
    """Returns an objective as a loss for `keras.distillation.Distiller`.

    Args:
        objective: As for `ban_tf.objectives.get`; it must need no labels.

    Raises:
        InputError: The objective needs labels.
    """
    return ObjectiveDistillation(objective)
