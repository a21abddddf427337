"""Captures and restores the states of stateful recurrent layers of a student and its teachers.

Keras does not include them in a model's variables. On several replicas each has the states of its
own rows of the batch; captured states are those of the whole batch in its order, independent of the
number of replicas.
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
    found = [
        variable
        for layer in layers
        if isinstance(layer, keras.layers.RNN) and layer.stateful and layer.states is not None
        for variable in keras.tree.flatten(layer.states)
    ]
    return list({id(variable): variable for variable in found}.values())


def capture(model: keras.Model) -> list[np.ndarray]:
    """Returns copies of the states, `[batch, units]`; all workers must call it together."""
    states = variables(model)
    if not states or not keras_distribution.several(model):
        return [np.array(keras.ops.convert_to_numpy(state)) for state in states]
    gather = distribute.on_replicas(model.distribute_strategy, lambda: _of_the_batch(states))
    return [state.numpy() for state in gather()]


def restore(model: keras.Model, captured: list[np.ndarray]) -> None:
    """Restores captured states, on each replica those of its own rows.

    Raises:
        InputError: They belong to another model or batch size.
    """
    states = variables(model)
    several = bool(states) and keras_distribution.several(model)
    replicas = model.distribute_strategy.num_replicas_in_sync if several else 1
    shapes = [(state.shape[0] * replicas, *state.shape[1:]) for state in states]
    if shapes != [array.shape for array in captured]:
        raise InputError("The checkpoint belongs to another model or another optimizer.")
    if several:
        distribute.on_replicas(model.distribute_strategy, lambda: _take(states, captured))()
    else:
        for state, array in zip(states, captured, strict=True):
            state.assign(array)


def _of_the_batch(states: list[Any]) -> list[Any]:
    """In a replica: returns the states of all, as the sum of zero-padded states."""
    import tensorflow as tf

    share = distribute.share(states[0].shape[0])
    around = [share.first, share.total - share.first - share.size]
    padded = [tf.pad(state.value, [around, *[[0, 0]] * (len(state.shape) - 1)]) for state in states]
    return distribute.sum_over_replicas(padded)


def _take(states: list[Any], captured: list[np.ndarray]) -> list[Any]:
    """In a replica: returns its rows of the captured states."""
    share = distribute.share(states[0].shape[0])
    for state, array in zip(states, captured, strict=True):
        rows = keras.ops.convert_to_tensor(array)[share.first :]
        state.assign(rows[: state.shape[0]])
    return []
