"""How much each sample counts: Keras's weights, masks and reduction, for losses made elsewhere."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf import outputs


class PerSample(keras.losses.Loss):
    """Keras's own reduction (weights, masks, replicas) of values that are losses already."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses, which come in the place of labels, as they are."""
        return y_true


def reduce(losses: Any, output: Any, sample_weight: Any) -> Any:
    """Returns the mean of losses over what counts, a scalar, as Keras computes it.

    Args:
        losses: `[batch, ...]`.
        output: The model's output that they belong to, which carries Keras's mask.
        sample_weight: `[batch]` or `[batch, ...]`, or None.
    """
    return PerSample(name="per_sample", dtype="float32")(losses, output, sample_weight)


def mask_of(output: Any) -> Any:
    """Returns the mask `[batch, ...]` that Keras keeps with a model's output, or None."""
    return getattr(output, "_keras_mask", None)


def with_mask_of(logits: Any, output: Any) -> Any:
    """Returns logits with the mask of the output that they were made of."""
    if mask_of(output) is not None:
        logits._keras_mask = mask_of(output)
    return logits


def combine(sample_weight: Any, mask: Any, like: Any) -> Any:
    """Returns sample weight times mask, of `like`'s shape `[batch, ...]`; None without either."""
    combined = None
    for each in (sample_weight, mask):
        if each is None:
            continue
        each = ops.cast(each, like.dtype)
        while len(each.shape) > len(like.shape):
            each = ops.squeeze(each, axis=-1)
        while len(each.shape) < len(like.shape):
            each = ops.expand_dims(each, axis=-1)
        combined = each if combined is None else combined * each
    return None if combined is None else ops.broadcast_to(combined, ops.shape(like))


def by_output(sample_weight: Any, names: list[str]) -> dict[str, Any]:
    """Returns sample weights by output: one array given for all of them counts for each."""
    if sample_weight is None or isinstance(sample_weight, (dict, list, tuple)):
        return outputs.named(sample_weight, names)
    return dict.fromkeys(names, sample_weight)
