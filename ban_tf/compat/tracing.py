"""Distinguishes concrete from symbolic tensors."""

from __future__ import annotations

from typing import Any

import keras


def is_symbolic(tensor: Any) -> bool:
    """Returns whether a tensor or variable has no concrete value, as inside a compiled step."""
    if isinstance(tensor, keras.Variable):
        tensor = tensor.value
    if isinstance(tensor, keras.KerasTensor):
        return True
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly() or not hasattr(tensor, "numpy")
    if keras.backend.backend() == "jax":
        import jax

        return isinstance(tensor, jax.core.Tracer)
    return False
