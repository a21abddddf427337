"""A part of a network that is recomputed in the backward pass to save memory.

`keras.RematScope` is for whole models, but under TensorFlow (Keras 3.15) it fails for layers with a
`training` argument; the underlying function `keras.remat` does not. That function runs its argument
twice, which must therefore have no side effects: weights are passed as arguments, and moving
statistics and random states are returned as results and assigned once. Both passes therefore drop
the same units, and statistics are updated once per step.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ban_tf.layers.stand_in import StandIn, stands_in_for


def _functional() -> type:
    inputs = keras.Input((1,), name="functional_input")
    # Keras 3.12 has no model without a layer. With names, no counter of Keras's goes up.
    outputs = keras.layers.Identity(name="functional_layer")(inputs)
    return type(keras.Model(inputs, outputs, name="functional_of_one_layer"))


@stands_in_for(_functional())
class Recomputed(keras.Model, metaclass=StandIn):
    """A Functional model that is recomputed in the backward pass of training.

    Outputs, gradients, moving statistics and weights are those of `keras.Model(inputs, outputs)`.
    Plain Keras loads it as such a model.

    Args:
        inputs: As for `keras.Model`.
        outputs: As for `keras.Model`.
        name: As for `keras.Model`.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.autocast = False  # weights are passed in full precision, and cast by the layers

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Runs the graph; see the class."""
        run = super().call
        if not training:
            return run(inputs, training=training, mask=mask)
        trainable = self.trainable_variables
        # Read before the second pass, when they are already assigned.
        state = [(value, ops.stop_gradient(value)) for value in self.non_trainable_variables]
        changed: list[keras.Variable] = []

        def part(inputs: Any, weights: list[Any]) -> Any:
            mapping = [*zip(trainable, weights, strict=True), *state]
            with keras.StatelessScope(mapping) as scope:
                outputs = run(inputs, training=True, mask=mask)
            values = [(variable, scope.get_current_value(variable)) for variable, _ in state]
            updates = [
                now for now, then in zip(values, state, strict=True) if now[1] is not then[1]
            ]
            changed[:] = [variable for variable, _ in updates]
            return outputs, [value for _, value in updates]

        # In eager steps `convert_to_tensor` returns the variable, whose gradient counts twice.
        weights = [ops.copy(variable) for variable in trainable]
        outputs, values = keras.remat(part)(inputs, weights)
        for variable, value in zip(changed, values, strict=True):
            variable.assign(value)
        return outputs
