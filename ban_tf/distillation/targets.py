"""Which labels belong to which output, and which labels stand for none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ban_tf.compat import loss_kinds, outputs
from ban_tf.errors import InputError
from ban_tf.objectives import label_forms


def by_output(labels: Any, names: Sequence[str], loss: Any = None) -> dict[str, Any]:
    """Returns labels by the names of the outputs that Keras would send them to.

    Args:
        labels: One array, a list or tuple of them, or a dictionary, which may be nested as the
            outputs are; None for none.
        names: The names of the model's outputs.
        loss: What `compile` was given as `loss`. Labels may be left out for outputs without one.

    Raises:
        InputError: It is unclear to which output they belong.
    """
    if labels is None:
        return {}
    if len(names) == 1 and len(keras.tree.flatten(labels)) == 1:
        return {names[0]: keras.tree.flatten(labels)[0]}
    if isinstance(labels, Mapping):
        labels = outputs.named(labels)
        unknown = [str(name) for name in labels if name not in names]
        if unknown or not labels:
            raise InputError(
                f"`y` has labels for {', '.join(unknown) or 'no output'}, but the model has the "
                f"outputs {', '.join(names)}; name these."
            )
        return labels
    several = list(labels) if isinstance(labels, (list, tuple)) else [labels]
    if len(several) == len(names):
        return dict(zip(names, several, strict=True))
    losses = losses_by_output(loss, names)
    learning = [name for name in names if losses.get(name)]
    if len(several) == len(learning):
        return dict(zip(learning, several, strict=True))
    raise InputError(
        f"`y` has labels for {len(several)} of the {len(names)} outputs; give them as a dictionary "
        f"with the names {', '.join(names)}, or as a list of {len(names)}."
    )


def losses_by_output(loss: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    """Returns the compiled losses of each output, an empty dictionary without any.

    Args:
        loss: What `compile` was given as `loss`.
        names: The names of the model's outputs.
    """
    return {} if loss is None else loss_kinds.by_output(loss, list(names))


def void_of(loss: Any, names: Sequence[str]) -> dict[str, int]:
    """Returns the label that stands for none, by output: `ignore_class` of its loss, or -1.

    Args:
        loss: What `compile` was given as `loss`.
        names: The names of the model's outputs.
    """
    void = dict.fromkeys(names, label_forms.VOID)
    for name, losses in losses_by_output(loss, names).items():
        for inner in losses:
            ignored = loss_kinds.meaning(inner).void
            void[name] = void[name] if ignored is None else ignored
    return void


def unsigned(labels: Any, losses: Sequence[Any]) -> Any:
    """Returns labels of an output, with 0 in place of -1 where that means no.

    Args:
        labels: An array or tensor.
        losses: The compiled losses of the output.
    """
    if labels is None or not any(loss_kinds.meaning(loss).signed for loss in losses):
        return labels
    if isinstance(labels, np.ndarray):
        return np.where(labels == -1, 0, labels)
    labels = label_forms.as_numbers(labels)
    return ops.where(labels == -1, ops.zeros_like(labels), labels)


def without_void(labels: Any, void: int, logits: Any) -> tuple[Any, Any]:
    """Returns labels that are all readable, and where there is one, bool `[batch, ...]`.

    Args:
        labels: In any form, see `label_forms.read`.
        void: The label that stands for none.
        logits: `[batch, ..., classes]`, whose shape identifies labels that are distributions.

    Returns:
        Class 0 in place of the label for none, and the mask; the labels unchanged and None
        if their shape is that of no labels.
    """
    labels = marked(labels, void, logits)
    valid = label_forms.valid(labels, logits)
    if valid is None or label_forms.is_distribution(labels.shape, logits.shape):
        return labels, valid
    return ops.where(ops.reshape(valid, ops.shape(labels)), labels, ops.zeros_like(labels)), valid


def marked(labels: Any, void: int, logits: Any) -> Any:
    """Returns labels with -1 in place of a loss's own label for none.

    Args:
        labels: In any form, see `label_forms.read`.
        void: The label that stands for none.
        logits: `[batch, ..., classes]`, whose shape identifies labels that are distributions.
    """
    labels = label_forms.as_numbers(labels)
    if void == label_forms.VOID:
        return labels
    if label_forms.is_distribution(labels.shape, logits.shape):
        return labels
    return ops.where(labels == void, ops.cast(label_forms.VOID, labels.dtype), labels)
