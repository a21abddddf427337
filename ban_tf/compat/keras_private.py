"""Private names of Keras that other packages need, each behind one function.

Where a release of Keras lacks a name, the attribute error says which one; nothing is assumed in its
place. `tests/contract` checks that each does what is relied on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras.src.models.functional import Functional
from keras.src.trainers import data_adapters
from keras.src.trainers.data_adapters import array_slicing
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

__all__ = ["DataAdapter"]


class Origin(NamedTuple):
    """Where a symbolic tensor comes from.

    Attributes:
        operation: The layer or operation.
        inputs: The tensors that this call of it was given.
    """

    operation: Any
    inputs: list[Any]


def origin(tensor: Any) -> Origin:
    """Returns where a tensor of a Functional model comes from."""
    operation, node, _ = tensor._keras_history
    return Origin(operation, operation._inbound_nodes[node].input_tensors)


def calls(operation: Any) -> list[Any]:
    """Returns the calls of a layer or operation in models, each with `input_tensors`."""
    return list(operation._inbound_nodes)


def all_calls(model: keras.Model) -> list[Any]:
    """Returns the calls of all operations in a Functional model, each with `operation`."""
    return [node for level in model._nodes_by_depth.values() for node in level]


def layers_in(model: keras.Layer) -> list[keras.Layer]:
    """Returns all layers inside a layer or model, at any depth, without itself."""
    return list(model._flatten_layers(include_self=False))


def functional_of(model: keras.Model) -> keras.Model:
    """Returns the Functional model inside a Sequential one, else the model itself."""
    if isinstance(model, keras.Sequential):
        return model._functional or model
    return model


def output_structure(model: keras.Model) -> Any:
    """Returns a Functional model's outputs as it nests them; None for another model."""
    return model._outputs_struct if is_functional(model) else None


def is_functional(model: keras.Model) -> bool:
    """Returns whether a model is a Functional one."""
    return isinstance(model, Functional)


def learning_rate(optimizer: keras.optimizers.Optimizer) -> Any:
    """Returns an optimizer's schedule, or else the variable of its learning rate."""
    return optimizer._learning_rate


def validates(model: keras.Model, epoch: int, frequency: Any) -> bool:
    """Returns whether `fit` validates after an epoch, counted from 0."""
    return model._should_eval(epoch, frequency)


def data_adapter(x: Any, **options: Any) -> DataAdapter:
    """Returns what `fit` reads data of any kind with."""
    return data_adapters.get_data_adapter(x, **options)


def split_off_validation(arrays: Any, validation_split: float) -> tuple[Any, Any]:
    """Returns the training and the validation part of arrays, as `fit` splits them."""
    return array_slicing.train_validation_split(arrays, validation_split=validation_split)
