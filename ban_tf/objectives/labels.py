"""Cross-entropy to the labels, whichever form they come in."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.objectives.objective import Objective, as_float
from ban_tf.outputs import to_logits


def distribution(labels: Any, logits: Any) -> Any:
    """Returns labels as distributions `[batch, ..., classes]`.

    Args:
        labels: Integers `[batch, ...]` or `[batch, ..., 1]` of any dtype, or distributions
            `[batch, ..., classes]`; told apart by their shape. Of two classes, floats between 0
            and 1 in the place of integers are the probability of the second.
        logits: `[batch, ..., classes]`.

    Raises:
        ValueError: The shapes do not fit together.
    """
    labels, is_index = _read(labels, logits)
    if is_index:
        return ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return ops.cast(labels, logits.dtype)


def cross_entropy(labels: Any, logits: Any, label_smoothing: float = 0.0) -> Any:
    """Returns the cross-entropy `[batch, ...]` of logits to labels in any form.

    Smoothed labels are `(1 - e) y + e / n` for n classes (Szegedy et al., 2016).

    Args:
        labels: As for `distribution`.
        logits: `[batch, ..., classes]`.
        label_smoothing: e, the share of the label's mass that is spread over all classes.

    Raises:
        ValueError: The shapes do not fit together.
    """
    logits = as_float(logits)
    labels, is_index = _read(labels, logits)
    if is_index:
        # TensorFlow notices a label out of range here; a one-hot vector of it would be zeros.
        losses = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    else:
        losses = -ops.sum(ops.cast(labels, logits.dtype) * ops.log_softmax(logits), axis=-1)
    if not label_smoothing:
        return losses
    evenly = -ops.mean(ops.log_softmax(logits, axis=-1), axis=-1)
    return (1.0 - label_smoothing) * losses + label_smoothing * evenly


def _read(labels: Any, logits: Any) -> tuple[Any, bool]:
    """Returns int32 labels `[batch, ...]` and True, or distributions as given and False."""
    if labels is None:
        raise ValueError("`labels` is None, but this objective needs labels.")
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) == len(logits.shape):
        if labels.shape[-1] == logits.shape[-1]:
            return labels, False
        if labels.shape[-1] == 1:
            labels = ops.squeeze(labels, axis=-1)
    if len(labels.shape) != len(logits.shape) - 1:
        raise ValueError(
            "`labels` must be integers [batch, ...] or distributions [batch, ..., classes] for "
            f"logits of shape {tuple(logits.shape)}. Received shape: {tuple(labels.shape)}"
        )
    if logits.shape[-1] == 2 and keras.backend.is_float_dtype(labels.dtype):
        return ops.stack([1.0 - labels, labels], axis=-1), False
    return ops.cast(labels, "int32"), True


@keras.saving.register_keras_serializable("ban_tf")
class Labels(Objective):
    """The labels alone: every generation is trained as generation 0 is, the null hypothesis.

    Args:
        label_smoothing: Between 0 and 1 (Yuan et al., 2020, compare with it).

    Raises:
        ValueError: `label_smoothing` is out of range.
    """

    needs_labels = True
    needs_teacher = False
    label_weight = 1.0

    def __init__(self, label_smoothing: float = 0.0):
        self.label_smoothing = _check_smoothing(label_smoothing)

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the cross-entropy to the (smoothed) labels, `[batch, ...]`."""
        return cross_entropy(labels, student_logits, self.label_smoothing)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("ban_tf")
class LabelCrossEntropy(keras.losses.Loss):
    """A Keras loss that takes integer, one-hot and soft labels alike.

    Args:
        from_logits: Whether predictions are logits; probabilities otherwise.
        label_smoothing: As for `Labels`.
        **kwargs: As for `keras.losses.Loss`.
    """

    def __init__(
        self,
        from_logits: bool = True,
        label_smoothing: float = 0.0,
        name: str = "label_cross_entropy",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.from_logits = from_logits
        self.label_smoothing = _check_smoothing(label_smoothing)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each sample, `[batch, ...]`."""
        if not self.from_logits:
            y_pred = to_logits(y_pred, "softmax")
        return cross_entropy(y_true, y_pred, self.label_smoothing)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
        }


def _check_smoothing(label_smoothing: float) -> float:
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f"`label_smoothing` must be at least 0 and below 1. Received: {label_smoothing}"
        )
    return float(label_smoothing)
