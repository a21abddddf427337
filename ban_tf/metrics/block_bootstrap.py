"""Intervals for means over a sequence whose neighbors are not independent, such as a text.

Blocks of neighbors are drawn from the sequence, which is closed to a circle, until there are as
many values as in the sequence. A block has as many values as there are blocks, the square root of
the length: that is longer than what is best for the variance of a mean (the cube root), since
topics make distant words of a text depend on each other.

References:
    Politis and Romano, 1992, "A circular block-resampling procedure for stationary data".
    Hall, Horowitz and Jing, 1995, "On blocking rules for the bootstrap with dependent data".
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ban_tf.errors import InputError
from ban_tf.metrics.bootstrap import RESAMPLES

_SEED = 20180501  # intervals are the same whenever they are computed


def means(values: ArrayLike, replicates: int = RESAMPLES) -> np.ndarray:
    """Returns the means of resampled sequences.

    Several sequences are resampled together, by the same blocks, so that their differences are
    those of pairs.

    Args:
        values: One value for each place `[places]`, or several, `[places, sequences]`.
        replicates: How often to resample.

    Returns:
        float64 `[replicates]`, or `[replicates, sequences]`.

    Raises:
        InputError: There are fewer than two places.
    """
    values = np.asarray(values, np.float64)
    places = len(values) if values.ndim else 0
    if places < 2:
        raise InputError(f"A bootstrap needs at least two values. Received: {places}.")
    length = math.ceil(math.sqrt(places))
    blocks = math.ceil(places / length)
    circle = np.concatenate([values, values[:length]])
    sums = np.cumsum(np.concatenate([np.zeros_like(values[:1]), circle]), axis=0)
    of_blocks = (sums[length:] - sums[:-length])[:places] / length
    drawn = np.random.default_rng(_SEED).integers(0, places, (replicates, blocks))
    return of_blocks[drawn].mean(axis=1)
