"""The seed of an objective's draws in a step: two integers, different in each step.

The second is the number of updates before the step, which objectives may use as a schedule. While
an optimizer accumulates gradients, it stays, and the first one differs from step to step.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.compat import keras_private

_APART = 1_000_003  # so that seeds which follow each other share no draws


def next_seed(draws: keras.random.SeedGenerator, optimizer: Any, training: bool) -> Any:
    """Returns the seed of this step, int32 `[2]`.

    Args:
        draws: Has the seed of the training, and the number of its steps where the optimizer cannot
            be asked for it: in JAX steps, and in a loop of the user's own with another optimizer.
        optimizer: The compiled optimizer, or None.
        training: Whether this is a training step.
    """
    seed, count = ops.unstack(ops.cast(ops.convert_to_tensor(draws.state), "int32"))
    accumulated = None if optimizer is None else keras_private.accumulation_steps(optimizer)
    if keras.backend.backend() == "jax" or optimizer is None:
        if training:
            draws.next()
    else:
        count = ops.cast(keras_private.applied_gradients(optimizer), "int32")
    if accumulated:
        seed, count = seed + _APART * (count % accumulated), count // accumulated
    return ops.stack([seed, count])
