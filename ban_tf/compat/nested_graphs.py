"""Layers of models inside of models, each with its output in the graph of the outermost one.

A nested model is one operation in the graph of the model around it, and its layers know their
outputs in its own graph alone. Here the graph is run once more, symbolically, by the same layers,
with each nested graph in place of its operation.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from ban_tf.compat import keras_private

# Indices in `model.layers`: of a layer, or of a nested model and of a layer in that one.
Place = tuple[int, ...]


class Graph(NamedTuple):
    """A model without nesting.

    Attributes:
        inputs: Symbolic, in the structure of the model.
        outputs: Likewise.
        features: The output of each layer that is called once, by its place.
    """

    inputs: Any
    outputs: Any
    features: dict[Place, Any]


_known: weakref.WeakKeyDictionary[keras.Model, Graph] = weakref.WeakKeyDictionary()


def has_graph(layer: Any) -> bool:
    """Returns whether a layer is a Functional or built Sequential model that runs its own graph."""
    if not isinstance(layer, keras.Model):
        return False
    inner = keras_private.functional_of(layer)
    if not keras_private.is_functional(inner) or "call" in vars(layer):
        return False
    return keras_private.is_of_keras(type(layer).call, "models")


def places(model: keras.Model) -> dict[Place, keras.Layer]:
    """Returns the layers of a model, and those of nested models behind these, in their order."""
    found: dict[Place, keras.Layer] = {}
    for index, layer in enumerate(model.layers):
        found[index,] = layer
        if has_graph(layer):
            found |= {(index, *place): inner for place, inner in places(layer).items()}
    return found


@contextlib.contextmanager
def distinct_names(model: keras.Model) -> Iterator[None]:
    """Renames operations of nested models for a time, since Keras wants one graph without doubles.

    Args:
        model: The outermost model, whose layers may share names with those of models inside.
    """
    seen: set[str] = set()
    renamed = []
    for operation in _operations(model):
        name, number = operation.name, 0
        while operation.name in seen:
            number += 1
            operation.name = f"{name}_inside_{number}"
        if number:
            renamed.append((operation, name))
        seen.add(operation.name)
    try:
        yield
    finally:
        for operation, name in renamed:
            operation.name = name


def _operations(model: keras.Model) -> list[Any]:
    """Returns the operations of a model, and those of nested models after these, once each."""
    found: dict[int, Any] = {}
    own = list(keras_private.functional_of(model).operations)
    nested = [_operations(operation) for operation in own if has_graph(operation)]
    for operation in itertools.chain(own, *nested):
        found.setdefault(id(operation), operation)
    return list(found.values())


def flat(model: keras.Model) -> Graph:
    """Returns the graph of a model with those of nested models in it.

    Args:
        model: One that `has_graph`.
    """
    functional = keras_private.functional_of(model)
    if functional not in _known:
        calls: dict[int, list[Any]] = {}
        outputs = _run(model, functional.inputs, None, calls)
        features = {
            place: calls[id(layer)][0]
            for place, layer in places(model).items()
            if len(calls.get(id(layer), ())) == 1
        }
        inputs = functional.inputs[0] if isinstance(model, keras.Sequential) else model.input
        _known[functional] = Graph(inputs, outputs, features)
    return _known[functional]


def _run(model: keras.Model, inputs: Any, training: bool | None, calls: dict[int, list]) -> Any:
    """Runs the graph of a model on symbolic inputs, and notes the outputs of its layers."""

    def call(operation: Any, *arguments: Any, **options: Any) -> Any:
        # As Keras does: a mode that the model is called in is that of all of its layers.
        if training is not None and "training" in inspect.signature(operation.call).parameters:
            options["training"] = training
        if has_graph(operation):
            found = _run(operation, arguments[0], options.get("training"), calls)
        else:
            found = operation(*arguments, **options)
        calls.setdefault(id(operation), []).append(found)
        return found

    outputs = keras_private.run_graph(keras_private.functional_of(model), inputs, call)
    single = isinstance(outputs, (list, tuple)) and len(outputs) == 1
    return outputs[0] if single else outputs
