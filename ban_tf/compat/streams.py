"""Copies of recurrent models for another number of streams: with states, or without.

A recurrent layer with states has a fixed batch size, and creates the states when it is built, so
that a model must be rebuilt from its configuration for another one.
"""

from __future__ import annotations

from typing import Any

import keras

from ban_tf.compat import copies


def with_streams(model: keras.Model, streams: int | None) -> keras.Model:
    """Returns a copy of a Functional model with the same weight values.

    Args:
        model: A model of Keras's layers, at any depth.
        streams: The batch size of the copy, whose recurrent layers carry their states from batch
            to batch; None for any batch size, without states.

    Raises:
        InputError: A layer cannot be rebuilt from its configuration.
    """
    return _copy(model, streams, stateful=streams is not None)


def one_at_a_time(model: keras.Model) -> keras.Model | None:
    """Returns a copy for a batch of one, without states; None if no layer is a loop over steps.

    Args:
        model: As for `with_streams`.

    Raises:
        InputError: A layer cannot be rebuilt from its configuration.
    """
    loops = (layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN))
    if all(layer.unroll for layer in loops):
        return None
    return _copy(model, 1, stateful=False)


def _copy(model: keras.Model, streams: int | None, stateful: bool) -> keras.Model:
    with copies.rebuilding(model):
        copy = type(model).from_config(_changed(model.get_config(), streams, stateful))
    copy.set_weights(model.get_weights())
    return copy


def _changed(config: Any, streams: int | None, stateful: bool) -> Any:
    """Returns a configuration in which all inputs and recurrent layers have so many streams."""
    if isinstance(config, list):
        return [_changed(value, streams, stateful) for value in config]
    if not isinstance(config, dict):
        return config
    # `build_config` would build nested layers for the former batch size.
    changed = {
        k: _changed(value, streams, stateful) for k, value in config.items() if k != "build_config"
    }
    if "batch_shape" in changed:
        changed["batch_shape"] = (streams, *changed["batch_shape"][1:])
    if "stateful" in changed:
        changed["stateful"] = stateful
    return changed
