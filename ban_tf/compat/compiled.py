"""Functions of Keras models and tensors, compiled by TensorFlow or JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.compat import jax_devices, recurrent_states


def inference(
    function: Callable[[Any], Any], models: Sequence[keras.Model]
) -> Callable[[Any], Any]:
    """Returns a function of a batch that is compiled once, for models with any weights.

    Args:
        function: From a batch to tensors; it calls `models` without training.
        models: Whose weights may change; the states of their recurrent layers are carried on.

    Returns:
        A function from a batch to arrays; batches may have different sizes.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # One graph for all batch sizes: the last batch is smaller.
        # Without AutoGraph, as in `fit`: converting all of Keras takes seconds.
        traced = tf.function(function, reduce_retracing=True, autograph=False)
        return lambda batch: keras.tree.map_structure(np.asarray, traced(batch))
    import jax

    states = [state for model in models for state in recurrent_states.variables(model)]
    variables = [*(variable for model in models for variable in model.variables), *states]

    @jax.jit
    def with_values(values: list[Any], batch: Any) -> Any:
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            return function(batch), [scope.get_current_value(state) for state in states]

    def call(batch: Any) -> Any:
        # This process may be the only one that computes.
        values = [jax_devices.local(variable.value) for variable in variables]
        found, following = with_values(values, batch)
        for state, value in zip(states, following, strict=True):
            state.assign(value)
        return keras.tree.map_structure(np.asarray, found)

    return call


def gradients(function: Callable[..., Any]) -> Callable[..., Sequence[Any]]:
    """Returns a compiled function that returns the gradient by each of two arguments.

    Args:
        function: From two tensors to a scalar.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.grad(function, argnums=(0, 1)))
    import tensorflow as tf

    @tf.function(jit_compile=False, autograph=False)
    def call(*arguments: Any) -> Sequence[Any]:
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            result = function(*arguments)
        return tape.gradient(result, list(arguments))

    return call


def losses_and_gradient(function: Callable[[Any], Any], logits: np.ndarray) -> tuple[Any, Any]:
    """Returns the losses of logits, and the gradient of their sum; None if there is none.

    Args:
        function: From logits to losses; it is traced as in a training step.
        logits: Where to take the gradient.
    """
    if keras.backend.backend() == "jax":
        import jax

        @jax.jit
        def differentiated(logits: Any) -> tuple[Any, Any]:
            losses, pullback = jax.vjp(function, logits)
            return losses, pullback(jax.numpy.ones_like(losses))[0]

        losses, gradient = differentiated(logits)
        return losses, gradient if np.any(gradient) else None
    import tensorflow as tf

    tensor = tf.constant(logits)

    @tf.function(autograph=False)  # as Keras traces its training step
    def call() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            losses = function(tensor)
        return losses, tape.gradient(losses, tensor)

    return call()
