"""Keras's masks: which positions of a batch count. Keras keeps them with its tensors."""

from __future__ import annotations

from typing import Any

from keras import ops

# JAX's tracers take no attributes; these also find what Keras keeps beside them.
from keras.src.backend import get_keras_mask, set_keras_mask


def mask_of(output: Any) -> Any:
    """Returns the mask `[batch, ...]` that Keras keeps with a tensor, or None."""
    return get_keras_mask(output)


def with_mask(tensor: Any, mask: Any) -> Any:
    """Returns a tensor after setting its mask `[batch, ...]`, unless that is None."""
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
