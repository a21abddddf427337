"""Finds weights that two models share and that training changes.

A teacher, its student and all generations may share a frozen backbone. Shared weights that the
optimizer or a layer updates (the moving statistics of a batch normalization, the state of a
recurrent layer) would change the teacher during training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from ban_tf.compat import preparation
from ban_tf.system.seeds import derive_seed


def changed_by_training(student: keras.Model, other: keras.Model) -> list[str]:
    """Returns what training the student would change in another model.

    Adapted layers (a vocabulary, a mean) and frozen layers do not change.

    Args:
        student: The model to train.
        other: A model that may share layers or variables.

    Returns:
        Paths of shared variables and names of shared layers that training changes, or that have
        no variables yet; an empty list if there are none.
    """
    if student is other:
        return [student.name]
    theirs = {id(variable) for variable in other.variables}
    their_layers = {id(layer) for layer in _layers(other)}
    adapted = {
        id(v) for layer in _layers(student) if hasattr(layer, "adapt") for v in layer.variables
    }
    found = [
        variable.path
        for variable in [*student.trainable_variables, *_updated_by_layers(student)]
        if id(variable) in theirs and id(variable) not in adapted
    ]
    unready = [
        layer.name
        for layer in _layers(student)
        if id(layer) in their_layers and not hasattr(layer, "adapt") and _may_change(layer)
    ]
    return list(dict.fromkeys([*found, *unready]))


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    """Yields the layers of a model at any depth, without inputs and preprocessing layers."""
    preprocessor = getattr(model, "preprocessor", None) if preparation.of(model) else None
    apart = preprocessor._flatten_layers() if isinstance(preprocessor, keras.Layer) else ()
    ignored = {id(layer) for layer in apart}
    for layer in model._flatten_layers(include_self=False):
        if not isinstance(layer, keras.layers.InputLayer) and id(layer) not in ignored:
            yield layer


def _updated_by_layers(model: keras.Model) -> Iterator[Any]:
    """Yields variables that layers may update in their forward pass; frozen layers do not."""
    for layer in _layers(model):
        if layer.trainable:
            yield from layer._non_trainable_variables


def _may_change(layer: keras.Layer) -> bool:
    """Returns whether a shared layer is not built, or has state that a forward pass changes."""
    return not layer.built or bool(getattr(layer, "stateful", False))


def restart_shared_seeds(model: keras.Model, other: keras.Model, seed: int) -> None:
    """Restarts the random generators of layers that two models share, such as a frozen dropout.

    A generator counts its draws. In a layer that all generations share, the count at the start of
    one would depend on how long this process trained the one before it.

    Args:
        model: A model.
        other: Another one, with all or some of its layers.
        seed: The seed of the new sequence of draws.
    """
    theirs = {id(layer) for layer in _layers(other)}
    shared = [layer for layer in _layers(model) if id(layer) in theirs]
    generators = [generator for layer in shared for generator in layer._seed_generators]
    for position, generator in enumerate(generators):
        state = keras.ops.convert_to_tensor([derive_seed(seed, position), 0])
        generator.state.assign(keras.ops.cast(state, generator.state.dtype))
