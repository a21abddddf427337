"""Models that compute in half precision, rebuilt to compute in float32."""

from __future__ import annotations

from typing import Any

import keras

from ban_tf.compat.copies import copy_layer, rebuilding

# Names of dtypes and of dtype policies.
_HALF = ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16")


def in_float32(model: keras.Model) -> keras.Model:
    """Returns a model that computes in float32, with the same weights.

    Args:
        model: A built model; returned unchanged if no layer computes in half precision.

    Raises:
        InputError: It cannot be rebuilt from its configuration.
    """
    layers = list(model._flatten_layers())
    if all(layer.compute_dtype not in _HALF for layer in layers):
        return model
    known = {type(layer).__name__: type(layer) for layer in layers}
    config = keras.tree.map_structure(_widened, model.get_config())
    with rebuilding(model), keras.saving.custom_object_scope(known):
        copy: Any = copy_layer(model, config=config)
        copy.set_weights(model.get_weights())
    return copy


def _widened(entry: Any) -> Any:
    return "float32" if isinstance(entry, str) and entry in _HALF else entry
