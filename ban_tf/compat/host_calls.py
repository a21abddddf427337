"""Functions of NumPy arrays inside a training step of TensorFlow or JAX."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import keras
import numpy as np
from keras import ops

# The error of the last function that failed. TensorFlow and JAX replace it by one of their own,
# with the text of its traceback inside of theirs.
_failed: list[Exception] = []


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
        try:
            found = function(keras.tree.pack_sequence_as(inputs, [np.asarray(x) for x in arrays]))
        except StopIteration as error:  # which would end the epoch, as the end of the data does
            _failed[:] = [RuntimeError("`teacher` raised StopIteration")]
            raise _failed[0] from error
        except Exception as error:
            _failed[:] = [error]
            raise
        return np.ascontiguousarray(found, np.float32)

    if keras.backend.backend() == "jax":
        import jax

        shape = jax.ShapeDtypeStruct((flat[0].shape[0], units), np.float32)
        return jax.pure_callback(on_host, shape, *flat)
    import tensorflow as tf

    if tf.executing_eagerly():
        # As in a graph, in a thread of its own: models cannot predict in that of a replica.
        with futures.ThreadPoolExecutor(1) as thread:
            return tf.constant(thread.submit(on_host, *flat).result())
    found = tf.numpy_function(on_host, flat, tf.float32, stateful=False)
    found.set_shape([flat[0].shape[0], units])
    return tf.stop_gradient(found)


@contextlib.contextmanager
def raising_their_own() -> Iterator[None]:
    """Raises the very error of a function that fails on the host inside the block, if one does."""
    _failed.clear()
    try:
        yield
    except Exception as error:
        if not _failed or type(_failed[0]).__name__ not in str(error):
            raise
        own = _failed.pop()
        # Without the other error, which would be shown with it.
        raise own from own.__cause__ or (None if own.__suppress_context__ else own.__context__)
