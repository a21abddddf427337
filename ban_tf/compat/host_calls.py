"""Functions of NumPy arrays inside a training step of TensorFlow or JAX."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


def call(function: Callable[[Any], np.ndarray], inputs: Any, units: int) -> Any:
    """Returns what a function makes of a batch on the host, without a gradient.

    Args:
        function: Takes arrays in the structure of `inputs`, returns float32 `[batch, units]`. It
            may be called again for the same batch, and must return the same.
        inputs: Tensors `[batch, ...]`.
        units: The width of what it returns.
    """
    flat = [ops.convert_to_tensor(tensor) for tensor in keras.tree.flatten(inputs)]

    def on_host(*arrays: Any) -> np.ndarray:
        found = function(keras.tree.pack_sequence_as(inputs, [np.asarray(x) for x in arrays]))
        return np.ascontiguousarray(found, np.float32)

    if keras.backend.backend() == "jax":
        import jax

        shape = jax.ShapeDtypeStruct((flat[0].shape[0], units), np.float32)
        return jax.pure_callback(on_host, shape, *flat)
    import tensorflow as tf

    found = tf.numpy_function(on_host, flat, tf.float32, stateful=False)
    found.set_shape([flat[0].shape[0], units])
    return tf.stop_gradient(found)


def sentence_of(error: str) -> str | None:
    """Returns the message of an `InputError` that a function raised on the host; None if none."""
    found = re.search(r"InputError: ([^\n]+)", error)
    return found.group(1) if found else None
