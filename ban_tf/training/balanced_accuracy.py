"""Balanced accuracy as a metric of Keras: the mean recall of the classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class BalancedAccuracy(keras.metrics.Metric):
    """The mean over the classes that occur of the share of their examples that are found.

    A label is a class or, for mixed examples, a distribution, of which the likeliest class counts;
    a label of -1 is none.

    Args:
        num_classes: The number of classes.
    """

    def __init__(self, num_classes: int, name: str = "balanced_accuracy", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.found = self.add_weight(shape=(num_classes,), initializer="zeros", name="found")
        self.all = self.add_weight(shape=(num_classes,), initializer="zeros", name="all")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts the examples of a batch.

        Args:
            y_true: Integers `[batch]` or `[batch, 1]`, or distributions `[batch, classes]`.
            y_pred: Logits or probabilities `[batch, classes]`.
            sample_weight: `[batch]`, or None.
        """
        labels = ops.convert_to_tensor(y_true)
        if len(labels.shape) > 1 and labels.shape[-1] == self.num_classes:
            labels = ops.argmax(labels, axis=-1)
        labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
        counted = ops.one_hot(labels, self.num_classes, dtype=self.dtype)
        if sample_weight is not None:
            weights = ops.cast(ops.reshape(sample_weight, (-1, 1)), self.dtype)
            counted = counted * weights
        right = ops.cast(ops.argmax(y_pred, axis=-1), "int32") == labels
        right = ops.cast(ops.expand_dims(right, -1), self.dtype)
        self.all.assign_add(ops.sum(counted, axis=0))
        self.found.assign_add(ops.sum(counted * right, axis=0))

    def result(self) -> Any:
        """Returns the mean recall, a scalar."""
        occurs = ops.cast(self.all > 0, self.dtype)
        recalls = ops.divide_no_nan(self.found, self.all)
        return ops.divide_no_nan(ops.sum(recalls), ops.sum(occurs))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_classes": self.num_classes}
