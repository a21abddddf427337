"""Cross-entropy to labels of any form."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.compat.loss_kinds import CATEGORICAL
from ban_tf.compat.masks import with_mask
from ban_tf.compat.outputs import to_logits
from ban_tf.errors import InputError
from ban_tf.objectives import label_forms
from ban_tf.objectives.objective import RULED_OUT, Objective, as_float, counts, is_possible


def cross_entropy(labels: Any, logits: Any, label_smoothing: float = 0.0) -> Any:
    """Returns the cross-entropy `[batch, ...]` of logits to labels in any form.

    Smoothed labels are `(1 - e) y + e / n` for n classes (Szegedy et al., 2016), not counting
    those that are ruled out by a logit of minus infinity. For missing labels (see
    `label_forms`), the loss is zero, and so is its gradient.

    Args:
        labels: As for `label_forms.read`.
        logits: `[batch, ..., classes]`.
        label_smoothing: e, the fraction of the label's mass that is spread over all classes.

    Raises:
        InputError: The shapes do not match.
    """
    logits = as_float(logits)
    return _cross_entropy(label_forms.read(labels, logits), logits, label_smoothing)


def _cross_entropy(form: label_forms.LabelForm, logits: Any, label_smoothing: float) -> Any:
    # Also replaces void logits: the gradient of a dropped loss must not be infinite times zero.
    logits = ops.where(ops.expand_dims(form.valid, -1), logits, ops.zeros_like(logits))
    # Zero times a logarithm of minus infinity would be NaN.
    logits = ops.maximum(logits, RULED_OUT)
    if form.is_index:
        losses = ops.sparse_categorical_crossentropy(form.values, logits, from_logits=True)
    else:
        losses = -ops.sum(ops.cast(form.values, logits.dtype) * ops.log_softmax(logits), axis=-1)
    if label_smoothing:
        possible = is_possible(logits)
        evenly = -ops.sum(ops.where(possible, ops.log_softmax(logits, axis=-1), 0.0), axis=-1)
        evenly = evenly / ops.sum(ops.cast(possible, logits.dtype), axis=-1)
        losses = (1.0 - label_smoothing) * losses + label_smoothing * evenly
    return label_forms.where_valid(form, losses)


@keras.saving.register_keras_serializable("ban_tf")
class Labels(Objective):
    """Only labels: every generation is trained like generation 0, the null hypothesis.

    Args:
        label_smoothing: Between 0 and 1 (Yuan et al., 2020, compare with it). For a model that is
            compiled without a loss; else it is an argument of that loss.

    Raises:
        InputError: `label_smoothing` is out of range.
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
    """A Keras loss for integer, one-hot and soft labels.

    A label of -1, or a row of zeros, is missing: like the `ignore_class` of Keras's losses, it is
    excluded from the mean.

    Attributes:
        output_kind: The kind of the output.

    Args:
        from_logits: Whether predictions are logits; probabilities otherwise.
        label_smoothing: As for `Labels`.
        **kwargs: As for `keras.losses.Loss`.
    """

    output_kind = CATEGORICAL

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

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Returns the mean loss; weights `[batch]` count for all positions of a sample."""
        if sample_weight is not None:
            # Keras would align `[batch]` with the last axis of the losses.
            of_losses = as_float(ops.convert_to_tensor(y_pred)[..., 0])
            sample_weight = counts(sample_weight, of_losses)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each sample, `[batch, ...]`."""
        if not self.from_logits:
            y_pred = to_logits(y_pred, "softmax")
        y_pred = as_float(y_pred)
        form = label_forms.read(y_true, y_pred)
        losses = _cross_entropy(form, y_pred, self.label_smoothing)
        return with_mask(losses, form.valid)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
        }


def _check_smoothing(label_smoothing: float) -> float:
    if not 0 <= label_smoothing < 1:
        raise InputError(
            f"`label_smoothing` must be at least 0 and below 1. Received: {label_smoothing}"
        )
    return float(label_smoothing)
