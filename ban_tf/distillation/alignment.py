"""Features of unlike networks, over the same positions.

Features are vectors `[batch, channels]`, tokens `[batch, tokens, channels]` or maps
`[batch, height, width, channels]`. Of two kinds, the one with positions loses them: tokens become a
square map without their class tokens, the finer map is averaged to the size of the coarser one,
and beside a vector all positions are averaged. So nothing is compared that one of both lacks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from ban_tf.errors import InputError

_CLASS_TOKENS = 2  # at most: of a class, and of distillation


def align(theirs: Any, ours: Any) -> tuple[Any, Any]:
    """Returns two features over the same positions.

    Args:
        theirs: `[batch, ..., channels]`.
        ours: `[batch, ..., channels]`, of the same examples.

    Raises:
        InputError: One is none of the three kinds, or its positions cannot be compared.
    """
    check_kind(theirs.shape)
    check_kind(ours.shape)
    if len(theirs.shape) == 2 or len(ours.shape) == 2:
        return pooled(theirs), pooled(ours)
    if tuple(theirs.shape[1:-1]) == tuple(ours.shape[1:-1]):
        return theirs, ours
    theirs, ours = as_map(theirs), as_map(ours)
    sizes = [tuple(features.shape[1:3]) for features in (theirs, ours)]
    if None in (*sizes[0], *sizes[1]):
        raise InputError(
            f"Features of the sizes {sizes[0]} and {sizes[1]} cannot be compared, since one is "
            "unknown; give the networks inputs of a fixed size."
        )
    size = (min(sizes[0][0], sizes[1][0]), min(sizes[0][1], sizes[1][1]))
    return averaged(theirs, size), averaged(ours, size)


def check_kind(shape: Any) -> None:
    """Checks that features are vectors, tokens or maps, with a known number of channels.

    Raises:
        InputError: They are not.
    """
    if not 2 <= len(shape) <= 4 or shape[-1] is None:
        raise InputError(
            "Features must be [batch, channels], [batch, tokens, channels] or [batch, height, "
            f"width, channels], with a known number of channels. Received shape: {tuple(shape)}"
        )


def pooled(features: Any) -> Any:
    """Returns the mean over all positions, `[batch, channels]`."""
    return ops.mean(features, axis=tuple(range(1, len(features.shape) - 1)))


def as_map(features: Any) -> Any:
    """Returns tokens as a square map, without class tokens before them; a map stays.

    Raises:
        InputError: The tokens fill no square.
    """
    if len(features.shape) == 4:
        return features
    _, tokens, channels = features.shape
    side = 0 if tokens is None else math.isqrt(tokens)
    if tokens is None or tokens - side * side > _CLASS_TOKENS:
        raise InputError(
            f"{'An unknown number of' if tokens is None else tokens} tokens are no square map, "
            "also without a class token; choose a layer whose features are a map or a vector."
        )
    return ops.reshape(features[:, tokens - side * side :], (-1, side, side, channels))


def averaged(features: Any, size: tuple[int, int]) -> Any:
    """Returns a map averaged to a smaller size, also where that is no divisor of its own.

    Args:
        features: `[batch, height, width, channels]`.
        size: The new height and width, at most the old ones.
    """
    for axis, new in zip((1, 2), size, strict=True):
        old = features.shape[axis]
        if new != old:
            weights = ops.cast(_area_weights(old, new), features.dtype)
            features = ops.moveaxis(ops.tensordot(features, weights, [[axis], [1]]), -1, axis)
    return features


def _area_weights(old: int, new: int) -> np.ndarray:
    """Returns the share that each of `old` cells has in each of `new` ones, `[new, old]`."""
    ends = np.arange(new + 1)[:, None] * old / new
    cells = np.arange(old)[None]
    overlap = np.minimum(ends[1:], cells + 1) - np.maximum(ends[:-1], cells)
    return np.maximum(overlap, 0.0) * new / old
