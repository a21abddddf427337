"""Pairs of networks with equal weights that compute different things, built in any process."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from ban_tf import architectures

TABLE = np.arange(4, dtype="float32")


class Shifted(keras.layers.Layer):
    """Adds what its configuration does not tell."""

    def __init__(self, shift, **options):
        super().__init__(**options)
        self.shift = shift

    def call(self, inputs):
        return inputs + self.shift


class Subclass(keras.Model):
    """A model without a graph."""

    def __init__(self, power):
        super().__init__()
        self.hidden = layers.Dense(4)
        self.power = power

    def call(self, inputs):
        return ops.power(self.hidden(inputs), self.power) + TABLE


def _sequence(*inside):
    return keras.Sequential([keras.Input((4,)), *inside, layers.Dense(3)])


def _graph(function):
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(3)(function(inputs)))


def _looked_up(words):
    inputs = keras.Input((1,), dtype="string")
    found = layers.StringLookup(vocabulary=words, output_mode="multi_hot")(inputs)
    return keras.Model(inputs, layers.Dense(3)(found))


def _subclass(power):
    model = Subclass(power)
    model(np.ones((1, 4), "float32"))
    return model


def _scaled(factor):
    return lambda x: x * factor


def _joined(flip):
    first, second = keras.Input((4,)), keras.Input((4,))
    hidden = layers.Dense(3)(second if flip else first)
    return keras.Model([first, second], hidden + layers.Dense(3)(first if flip else second))


PAIRS = {
    "rescaling": lambda k: _sequence(layers.Rescaling((1.0, -1.0)[k])),
    "epsilon": lambda k: _sequence(layers.BatchNormalization(epsilon=(1e-3, 1.0)[k])),
    "activation": lambda k: _sequence(layers.Dense(4, activation=("relu", "tanh")[k])),
    "wrapped": lambda k: keras.Sequential(
        [keras.Input((2, 4)), layers.TimeDistributed(layers.LeakyReLU((0.1, 0.2)[k]))]
    ),
    "nested": lambda k: _sequence(_sequence(layers.Rescaling((1.0, -1.0)[k]))),
    "precision": lambda k: _sequence(layers.Dense(4, dtype=("float32", "mixed_bfloat16")[k])),
    "order": lambda k: _sequence(*[layers.ReLU(), layers.Rescaling(-1.0)][:: (1, -1)[k]]),
    "constant": lambda k: _graph(lambda x: x + np.float32([0, 0, 0, k])),
    "tensor": lambda k: _graph(lambda x: x * ops.convert_to_tensor([1.0, 1, 1, 1 + k])),
    "slice": lambda k: _graph(lambda x: x[:, k : k + 2]),
    "argument": lambda k: _graph(lambda x: ops.clip(x, -1.0, (1.0, 2.0)[k])),
    "wiring": lambda k: _joined(bool(k)),
    "sharing": lambda k: _graph(
        lambda x: (lambda first, second: second(first(x)))(
            *([layers.Rescaling(2.0)] * 2 if k else [layers.Rescaling(2.0), layers.ReLU()])
        )
    ),
    "vocabulary": lambda k: _looked_up([["a", "b"], ["b", "a"]][k]),
    "closure": lambda k: _sequence(layers.Lambda(_scaled((1.0, 2.0)[k]), output_shape=(4,))),
    "array in a closure": lambda k: _sequence(
        layers.Lambda(_scaled(np.float32([1, 2, 3, 4 + k])), output_shape=(4,))
    ),
    "code": lambda k: _sequence(
        layers.Lambda((lambda x: x + 1.0, lambda x: x - 1.0)[k], output_shape=(4,))
    ),
    "own layer": lambda k: _sequence(Shifted((0.0, 1.0)[k])),
    "array of an own layer": lambda k: _sequence(Shifted(np.float32([0, 0, 0, k]))),
    "own model": lambda k: _subclass((1.0, 2.0)[k]),
    "architecture": lambda k: architectures.build(("wrn-10-1", "densenet-10-4")[k], (8, 8, 3), 3),
}


def build(name: str, variant: int) -> keras.Model:
    """Builds one of a pair, with weights that depend on the pair alone."""
    keras.utils.set_random_seed(0)
    return PAIRS[name](variant)
