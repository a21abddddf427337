"""Samples without a label, which learn from the teacher alone.

A label of -1, or the `ignore_class` of the compiled loss, is none. For losses that know of such
labels, `objectives.LabelCrossEntropy`, the default one and Keras's with `ignore_class`:

    loss = label_weight / L * sum over labelled samples of the label loss
         + teacher_weight / N * sum over all samples of the objective

for L labelled of N samples of the batch, all replicas together; without any labelled sample, the
first term is zero. Objectives that read labels take their mean over the labelled samples, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from ban_tf import objectives
from ban_tf.compat import loss_kinds, weighting
from ban_tf.distillation import student_outputs, targets
from ban_tf.objectives import label_forms

if TYPE_CHECKING:
    from ban_tf.distillation.taught_model import TaughtModel


def metric_weights(model: TaughtModel, labels: Any, y_pred: Any, sample_weight: Any) -> Any:
    """Returns the sample weights of metrics: zero for samples without a label.

    Args:
        model: The model around the student.
        labels: As the user gave them.
        y_pred: What the student returned.
        sample_weight: As the user gave it for labels, or None.

    Returns:
        `[batch, ...]`; `sample_weight` unchanged if there are several outputs, labels are no
        integers, or the compiled loss has no label for none.
    """
    named = student_outputs.by_name(model, y_pred)
    given = keras.tree.flatten(labels)
    if len(named) != 1 or len(given) != 1 or given[0] is None:
        return sample_weight
    ((name, output),) = named.items()
    dtype = keras.backend.standardize_dtype(ops.convert_to_tensor(given[0]).dtype)
    losses = targets.losses_by_output(getattr(model, "loss", None), [name]).get(name, [])
    may_miss = model.assumes_loss or any(map(_may_miss, losses))
    if not keras.backend.is_int_dtype(dtype) or not may_miss:
        return sample_weight
    numbers = label_forms.as_numbers(given[0])
    if label_forms.is_distribution(numbers.shape, output.shape):
        return sample_weight
    void = targets.void_of(getattr(model, "loss", None), [name])[name]
    weight = weighting.by_output(sample_weight, [name]).get(name)
    return weighting.combine(weight, numbers != void, ops.zeros_like(output[..., 0]))


def _may_miss(loss: Any) -> bool:
    loss = loss_kinds.resolved(loss)
    ours = isinstance(loss, objectives.LabelCrossEntropy)
    return ours or loss_kinds.meaning(loss).void is not None
