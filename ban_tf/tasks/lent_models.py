"""Generations to predict with: those of equal networks share a model, built and traced once."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import keras

from ban_tf.lineage.lineage import Lineage

_models: weakref.WeakKeyDictionary[Lineage, dict[Callable[[], keras.Model], keras.Model]]
_models = weakref.WeakKeyDictionary()


def of_generation(lineage: Lineage, number: int) -> keras.Model:
    """Returns a model with the weights of a generation, until the next call.

    Args:
        lineage: The lineage.
        number: The number of one of its generations.
    """
    generation = lineage.generations[number]
    if generation.pretrained:
        return lineage.model(number)
    models, build = _models.setdefault(lineage, {}), lineage.builder(number)
    if build not in models:
        models[build] = build()
    models[build].set_weights(generation.weights)
    return models[build]
