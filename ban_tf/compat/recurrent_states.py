"""What stateful recurrent layers of a student and its teachers carry from batch to batch.

Keras does not list it among a model's variables. On several replicas each carries the states of
its own rows of the batch; captured, they are those of the whole batch in its order, however many
replicas carried them.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ban_tf.compat import distribute, keras_distribution
from ban_tf.errors import InputError


def variables(model: keras.Model) -> list[Any]:
    """Returns the states; on several replicas, each has `[its rows, units]` in every one."""
    members = [model, *getattr(getattr(model, "teacher", None), "models", [])]
    layers = [layer for member in members for layer in member._flatten_layers()]
    return [
        variable
        for layer in layers
        if isinstance(layer, keras.layers.RNN) and layer.stateful and layer.states is not None
        for variable in keras.tree.flatten(layer.states)
    ]


def capture(model: keras.Model) -> list[np.ndarray]:
    """Copies the states out of a model, on all workers at the same moment; `[batch, units]`."""
    states = variables(model)
    if not states or not keras_distribution.several(model):
        return [np.array(keras.ops.convert_to_numpy(each)) for each in states]
    gather = distribute.on_replicas(model.distribute_strategy, lambda: _of_the_batch(states))
    return [each.numpy() for each in gather()]


def restore(model: keras.Model, captured: list[np.ndarray]) -> None:
    """Puts captured states back, those of its own rows on each replica.

    Raises:
        InputError: They are those of another model, or of a batch of another size.
    """
    states = variables(model)
    several = bool(states) and keras_distribution.several(model)
    replicas = model.distribute_strategy.num_replicas_in_sync if several else 1
    shapes = [(each.shape[0] * replicas, *each.shape[1:]) for each in states]
    if shapes != [array.shape for array in captured]:
        raise InputError("The checkpoint belongs to another model or another optimizer.")
    if several:
        distribute.on_replicas(model.distribute_strategy, lambda: _take(states, captured))()
    else:
        for state, array in zip(states, captured, strict=True):
            state.assign(array)


def _of_the_batch(states: list[Any]) -> list[Any]:
    """In a replica: the states of all, as the sum of what each has in its own place."""
    import tensorflow as tf

    share = distribute.share(states[0].shape[0])
    around = [share.first, share.total - share.first - share.size]
    padded = [tf.pad(each.value, [around, *[[0, 0]] * (len(each.shape) - 1)]) for each in states]
    return distribute.sum_over_replicas(padded)


def _take(states: list[Any], captured: list[np.ndarray]) -> list[Any]:
    """In a replica: gives each state its rows of what was captured."""
    share = distribute.share(states[0].shape[0])
    for state, array in zip(states, captured, strict=True):
        rows = keras.ops.convert_to_tensor(array)[share.first :]
        state.assign(rows[: state.shape[0]])
    return []
