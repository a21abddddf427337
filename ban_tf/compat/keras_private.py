"""Wrappers around private names of Keras, one function each.

If a release of Keras lacks a name, the attribute error names it; there are no fallbacks.
`tests/contract` checks that each works as expected.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
from keras.src.backend.common import global_state
from keras.src.models.functional import Functional
from keras.src.trainers import data_adapters
from keras.src.trainers.data_adapters import array_slicing
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

__all__ = ["DataAdapter"]


class Origin(NamedTuple):
    """The origin of a symbolic tensor.

    Attributes:
        operation: The layer or operation.
        inputs: The input tensors of this call.
        output_index: Which of the outputs of this call it is.
    """

    operation: Any
    inputs: list[Any]
    output_index: int


def origin(tensor: Any) -> Origin:
    """Returns the origin of a tensor of a Functional model."""
    operation, node, index = tensor._keras_history
    return Origin(operation, operation._inbound_nodes[node].input_tensors, index)


def variable_key(optimizer: Any, variable: Any) -> Any:
    """Returns the key of a variable in an optimizer, whether Keras's or that of the backend."""
    return optimizer._var_key(variable)


def copy_of_optimizer(optimizer: Any) -> Any:
    """Returns an unbuilt optimizer with the same settings.

    What is excluded from weight decay is no part of Keras's configuration, and copied, too.
    """
    copy = type(optimizer).from_config(optimizer.get_config())
    pairs = [(optimizer, copy)]
    if hasattr(optimizer, "inner_optimizer"):
        pairs.append((optimizer.inner_optimizer, copy.inner_optimizer))
    for given, new in pairs:
        for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
            if name in vars(given):  # set by `exclude_from_weight_decay`
                setattr(new, name, getattr(given, name))
    return copy


def accumulation_steps(optimizer: Any) -> int | None:
    """Returns of how many steps an optimizer accumulates gradients; None if of one."""
    return getattr(optimizer, "inner_optimizer", optimizer).gradient_accumulation_steps


def applied_gradients(optimizer: Any) -> Any:
    """Returns the variable that counts the steps of an optimizer, those that accumulate, too."""
    return getattr(optimizer, "inner_optimizer", optimizer)._iterations


def calls(operation: Any) -> list[Any]:
    """Returns the calls of a layer or operation in models, each with `input_tensors`."""
    return list(operation._inbound_nodes)


def all_calls(model: keras.Model) -> list[Any]:
    """Returns the calls of all operations in a Functional model, each with `operation`."""
    return [node for level in model._nodes_by_depth.values() for node in level]


def run_graph(model: keras.Model, inputs: Any, call: Callable[..., Any]) -> Any:
    """Runs the graph of a Functional model.

    Args:
        model: The model.
        inputs: Tensors, symbolic ones too, in the order of `model.inputs`.
        call: Called for each operation with it and its arguments; returns its outputs.

    Returns:
        The outputs in their structure.
    """
    return model._run_through_graph(
        inputs, operation_fn=lambda operation: functools.partial(call, operation)
    )


def layers_in(model: keras.Layer) -> list[keras.Layer]:
    """Returns all nested layers of a layer or model, at any depth, without itself."""
    return list(model._flatten_layers(include_self=False))


def functional_of(model: keras.Model) -> keras.Model:
    """Returns the Functional model inside a Sequential one, else the model itself."""
    if isinstance(model, keras.Sequential):
        return model._functional or model
    return model


def output_structure(model: keras.Model) -> Any:
    """Returns a Functional model's outputs in their structure; None for other models."""
    return model._outputs_struct if is_functional(model) else None


def is_functional(model: keras.Model) -> bool:
    """Returns whether a model is a Functional one."""
    return isinstance(model, Functional)


def learning_rate(optimizer: keras.optimizers.Optimizer) -> Any:
    """Returns an optimizer's schedule, or the variable of its learning rate."""
    return optimizer._learning_rate


def validates(model: keras.Model, epoch: int, frequency: Any) -> bool:
    """Returns whether `fit` validates after an epoch, counted from 0."""
    return model._should_eval(epoch, frequency)


def data_adapter(x: Any, **options: Any) -> DataAdapter:
    """Returns the adapter with which `fit` reads data of any kind."""
    return data_adapters.get_data_adapter(x, **options)


def split_off_validation(arrays: Any, validation_split: float) -> tuple[Any, Any]:
    """Returns the training and the validation part of arrays, as `fit` splits them."""
    return array_slicing.train_validation_split(arrays, validation_split=validation_split)


def kept_logits(tensor: Any) -> Any:
    """Returns the logits that Keras keeps with the result of a softmax or sigmoid, or None."""
    return getattr(tensor, "_keras_logits", None)


def keep_logits(tensor: Any, logits: Any) -> None:
    """Keeps logits with a tensor, where `kept_logits` and the losses of Keras find them."""
    tensor._keras_logits = logits


def is_of_keras(function: Any, *packages: str) -> bool:
    """Returns whether a function or class is defined by Keras, in one of its packages.

    Args:
        function: Any object.
        *packages: Such as "losses".
    """
    module = getattr(function, "__module__", None) or ""
    return module.startswith(tuple(f"keras.src.{package}" for package in packages))


def compiled_loss(model: keras.Model) -> Any:
    """Returns the loss over all outputs that `compile` makes, or None without a loss."""
    return model._compile_loss


def compiled_metrics(model: keras.Model) -> Any:
    """Returns the metric over all outputs that `compile` makes, or None without metrics."""
    return model._compile_metrics


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Returns the arguments by name that a model was compiled with."""
    return model._compile_config.config


def is_called_by_fit(options: Mapping[str, Any]) -> bool:
    """Returns whether the further arguments of `evaluate` are those of the validation in `fit`."""
    return bool(options.get("_use_cached_eval_dataset"))


def take_inputs_as_given(model: keras.Model) -> None:
    """Makes a model give `call` its inputs unchanged, whether they are tensors or not."""
    replace(model, "_convert_input_args", False)
    replace(model, "_allow_non_tensor_positional_args", True)


def strategy_of(model: keras.Model) -> Any:
    """Returns the `tf.distribute.Strategy` that a model was made under, or None."""
    return model._distribute_strategy if keras.backend.backend() == "tensorflow" else None


def replace(owner: Any, name: str, value: Any) -> None:
    """Sets an attribute that exists already.

    Raises:
        AttributeError: It does not exist, as after Keras renamed it.
    """
    getattr(owner, name)
    setattr(owner, name, value)


@functools.lru_cache(maxsize=32)  # an ensemble has many files of one network
def count_numbers(config: str) -> int:
    """Returns how many numbers the variables of a network have, without allocating them.

    Args:
        config: The network as JSON, as `keras.Model.to_json` returns it. If it cannot be built
            here, or has a variable with a constant, those of the layers before it are counted.
    """
    key = "uninitialized_variables"
    before = global_state.get_global_attribute(key, [])
    global_state.set_global_attribute(key, [])
    try:
        scope = keras.StatelessScope(initialize_variables=False)
        with scope, contextlib.suppress(Exception):  # loading it raises the same
            keras.models.model_from_json(config)
        created = global_state.get_global_attribute(key)
        return sum(math.prod(variable.shape) for variable in created)
    finally:
        global_state.set_global_attribute(key, before)
