"""What trains one generation after another without being built, or traced, again."""

from __future__ import annotations

import keras

from ban_tf import checkpoints, sharing
from ban_tf.generations import Generation
from ban_tf.student import BornAgainModel
from ban_tf.teachers import OnlineTeacher


class Trainer:
    """A student and its teachers, traced once and set anew for each generation.

    Args:
        model: The compiled student.
        teachers: The models that it asks.
        share_ends: Whether it has its first and last layer from the last of them.

    Attributes:
        asked: The teachers as one, for whoever wants to record them; None if there are none.
    """

    def __init__(self, model: BornAgainModel, teachers: list[keras.Model], share_ends: bool):
        self.model = model
        self.teachers = teachers
        self.asked = OnlineTeacher(teachers) if teachers else None
        self._share_ends = share_ends
        model.optimizer.build(model.trainable_variables)
        self._initial = checkpoints.capture(model)

    def begin(self, fresh: keras.Model, teachers: list[Generation]) -> None:
        """Puts everything in the state in which a training starts."""
        checkpoints.restore(self.model, self._initial)
        for variable, value in zip(self.model.student.variables, fresh.variables, strict=True):
            variable.assign(value)
        for model, generation in zip(self.teachers, teachers, strict=True):
            model.set_weights(generation.weights)
        if self._share_ends and self.teachers:
            sharing.copy_ends(self.model.student, self.teachers[-1])
        self.model.stop_training = False
