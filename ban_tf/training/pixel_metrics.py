"""Metrics of Keras for pixels, of which some have no class: accuracy, and mean IoU."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

VOID = -1


class PixelAccuracy(keras.metrics.Mean):
    """The share of the pixels with a class whose class is found."""

    def __init__(self, name: str = "accuracy", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts the pixels of a batch.

        Args:
            y_true: Integers `[batch, height, width]`; -1 is no class.
            y_pred: Logits or probabilities `[batch, height, width, classes]`.
            sample_weight: `[batch]` or `[batch, height, width]`, or None.
        """
        labels = ops.cast(y_true, "int32")
        right = ops.cast(ops.argmax(y_pred, axis=-1), "int32") == labels
        super().update_state(ops.cast(right, self.dtype), _weights(labels, sample_weight))


class MeanIoU(keras.metrics.Metric):
    """The mean over classes of the intersection over union, of all pixels with a class.

    Keras's metric of this name takes no fractions as weights. Classes that neither occur nor are
    predicted are left out.

    Args:
        num_classes: The number of classes.
    """

    def __init__(self, num_classes: int, name: str = "mean_iou", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.right, self.true, self.predicted = (
            self.add_weight(shape=(num_classes,), initializer="zeros", name=part)
            for part in ("right", "true", "predicted")
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts the pixels of a batch; arguments as for `PixelAccuracy`."""
        labels = ops.cast(y_true, "int32")
        weights = ops.expand_dims(_weights(labels, sample_weight), -1)
        true = weights * ops.one_hot(ops.maximum(labels, 0), self.num_classes, dtype="float32")
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), self.num_classes, dtype="float32")
        pixels = tuple(range(len(labels.shape)))
        self.right.assign_add(ops.sum(true * predicted, axis=pixels))
        self.true.assign_add(ops.sum(true, axis=pixels))
        self.predicted.assign_add(ops.sum(weights * predicted, axis=pixels))

    def result(self) -> Any:
        """Returns the mean, a scalar."""
        union = self.true + self.predicted - self.right
        ratios = ops.divide_no_nan(self.right, union)
        return ops.divide_no_nan(ops.sum(ratios), ops.sum(ops.cast(union > 0, self.dtype)))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_classes": self.num_classes}


def _weights(labels: Any, sample_weight: Any) -> Any:
    """Returns weights of pixels, `[batch, height, width]`: zero where there is no class."""
    valid = ops.cast(labels != VOID, "float32")
    if sample_weight is None:
        return valid
    weights = ops.cast(sample_weight, "float32")
    missing = len(valid.shape) - len(weights.shape)
    return valid * ops.reshape(weights, (*ops.shape(weights), *[1] * missing))
