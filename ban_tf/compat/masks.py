"""Keras's masks, which are attached to tensors: which positions of a batch count."""

from __future__ import annotations

from typing import Any

from keras import ops

# JAX's tracers have no attributes; these functions also find masks that Keras stores elsewhere.
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask


def mask_of(output: Any) -> Any:
    """Returns the mask `[batch, ...]` of a tensor, or None."""
    return get_keras_mask(output)


def with_mask(tensor: Any, mask: Any) -> Any:
    """Sets the mask `[batch, ...]` of a tensor, unless that is None; returns the tensor."""
    if mask is not None:
        set_keras_mask(tensor, mask)
    return tensor


def both(first: Any, second: Any) -> Any:
    """Returns where two masks `[batch, ...]` are true, bool; either may be None for everywhere."""
    if first is None or second is None:
        return second if first is None else first
    first, second = (ops.cast(mask, "bool") for mask in (first, second))
    while len(first.shape) < len(second.shape):
        first = ops.expand_dims(first, -1)
    while len(second.shape) < len(first.shape):
        second = ops.expand_dims(second, -1)
    return ops.logical_and(first, second)
