"""Optimizers with another learning rate for some variables ("discriminative learning rates").

Adam and its like divide by the size of the gradient, so that a scaled gradient changes nothing.
Here the learning rate itself is another one, for the step and for the weight decay, as in the
parameter groups of PyTorch.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from ban_tf.compat import keras_private

_NO_DECAY = ("bias", "gamma", "beta")


@functools.cache
def scaled(kind: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """Returns a kind of optimizer that multiplies learning rates by `learning_rate_factor`.

    That is an attribute of a variable; without it the factor is 1.

    Args:
        kind: An optimizer of Keras, or a subclass.
    """

    class Scaled(kind):
        def build(self, variables: Any) -> None:
            """Notes the factors of the variables."""
            if not self.built:
                self.factors = {
                    keras_private.variable_key(self, variable): factor
                    for variable in variables
                    if (factor := getattr(variable, "learning_rate_factor", 1.0)) != 1.0
                }
                if self.weight_decay:  # of the others; that of these is in `update_step`
                    slow = [
                        variable
                        for variable in variables
                        if keras_private.variable_key(self, variable) in self.factors
                    ]
                    self.exclude_from_weight_decay(var_list=slow, var_names=_NO_DECAY)
            super().build(variables)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            """Updates one variable, at its learning rate."""
            factor = self.factors.get(keras_private.variable_key(self, variable))
            if factor is not None:
                learning_rate = learning_rate * factor
                if self.weight_decay and not any(part in variable.name for part in _NO_DECAY):
                    rate = ops.cast(learning_rate * self.weight_decay, variable.dtype)
                    self.assign_sub(variable, variable * rate)
            super().update_step(gradient, variable, learning_rate)

    Scaled.__name__ = Scaled.__qualname__ = f"Scaled{kind.__name__}"
    Scaled.__doc__ = kind.__doc__
    return Scaled
