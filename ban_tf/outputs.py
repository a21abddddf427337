"""What a model's outputs mean: logits, softmax probabilities or sigmoid probabilities.

Every objective works on logits. A model that ends in a softmax is as welcome as one that
gives logits, because log-probabilities are logits up to a constant per example, and a
softmax at any temperature ignores that constant. A sigmoid unit is a choice between two
classes, whose logits are 0 and the unit's own.

The final activation is detected from the model. What cannot be looked into (a subclass, a layer
of the user's own at the end) counts as giving logits unless the caller says otherwise.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

ACTIVATIONS = ("linear", "softmax", "sigmoid")


def named(structure: Any, names: list[str] | None = None) -> dict[str, Any]:
    """Returns a model's outputs (or labels, or weights) by name.

    Args:
        structure: One tensor, a list or tuple of them, or a dictionary.
        names: The names that a list's entries have; `output_0`, `output_1`, ... if left out.

    Returns:
        A dictionary: a dictionary's own keys, else `names` in order.
    """
    if isinstance(structure, dict):
        return dict(structure)
    if not isinstance(structure, (list, tuple)):
        structure = [structure]
    names = names or [f"output_{index}" for index in range(len(structure))]
    return dict(zip(names, structure, strict=False))


def aligned(by_name: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Returns another model's outputs under the names that this model has for them.

    Args:
        by_name: The other model's outputs by name.
        names: This model's names. Where none is shared (Keras made them up) and there are as
            many of both, outputs belong together by their order.
    """
    if len(by_name) == len(names) and not set(names) & set(by_name):
        return dict(zip(names, by_name.values(), strict=True))
    return by_name


def structured_like(structure: Any, by_name: dict[str, Any]) -> Any:
    """Returns values by name in the structure that the model's outputs came in.

    Args:
        structure: One tensor, a list or tuple of them, or a dictionary.
        by_name: What `named(structure, ...)` was turned into.
    """
    if isinstance(structure, dict):
        return {name: by_name[name] for name in structure}
    values = list(by_name.values())
    return type(structure)(values) if isinstance(structure, (list, tuple)) else values[0]


def output_names(model: keras.Model) -> list[str] | None:
    """Returns the names of a Functional model's outputs; None where there are none to know."""
    structure = getattr(model, "_outputs_struct", None)
    if isinstance(structure, dict):
        return list(structure)
    names = getattr(model, "output_names", None)
    return list(names) if names and not isinstance(model, keras.Sequential) else None


def final_activations(model: keras.Model) -> dict[str, str]:
    """Returns the activation behind each output of a model, by the output's name.

    Args:
        model: Any Keras model.

    Returns:
        "linear", "softmax" or "sigmoid" for each output; none for an output whose last layer
        does not tell, and for a model that cannot be looked into. These count as "linear".
    """
    if isinstance(model, keras.Sequential) and model.layers:
        last = next((each for each in reversed(model.layers) if not _passes_on(each)), None)
        found = named(_layer_activation(last))
    else:
        structure = getattr(model, "_outputs_struct", None)
        by_name = {} if structure is None else named(structure, output_names(model))
        found = {name: _tensor_activation(tensor) for name, tensor in by_name.items()}
    return {name: activation for name, activation in found.items() if activation is not None}


def _tensor_activation(tensor: keras.KerasTensor) -> str | None:
    operation, node, _ = getattr(tensor, "_keras_history", (None, None, None))
    if _passes_on(operation):
        return _tensor_activation(operation._inbound_nodes[node].input_tensors[0])
    if isinstance(operation, keras.layers.Average):
        # The mean of probabilities is a probability, as in an exported ensemble.
        inputs = keras.tree.flatten(operation.input)
        activations = {_tensor_activation(each) for each in inputs}
        return activations.pop() if len(activations) == 1 else None
    return _layer_activation(operation)


def _passes_on(layer: Any) -> bool:
    """Whether a layer leaves outputs as they are in inference, but for their dtype."""
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear
    kinds = (keras.layers.Identity, keras.layers.Dropout, keras.layers.ActivityRegularization)
    return isinstance(layer, kinds)


def _layer_activation(layer: Any) -> str | None:
    if isinstance(layer, keras.Model):
        inner = set(final_activations(layer).values())
        return inner.pop() if len(inner) == 1 else None
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    if isinstance(layer, keras.layers.TimeDistributed):
        return _layer_activation(layer.layer)
    if isinstance(layer, keras.layers.RNN):
        return "linear"  # its activation is the recurrence's own
    if type(layer).__name__ in ("Softmax", "Sigmoid"):
        return type(layer).__name__.lower()  # keras.ops.softmax(x) in a Functional model
    if not hasattr(layer, "activation"):
        return None
    activation = layer.activation
    name = getattr(activation, "__name__", "linear")
    return name if name in ("softmax", "sigmoid") else "linear"


def to_logits(outputs: Any, activation: str) -> Any:
    """Turns one output of a model into float32 logits, exactly.

    Args:
        outputs: `[batch, ..., classes]`; for sigmoid units `[batch, ..., 1]` (one yes-or-no
            question) or `[batch, ..., labels]` (several). A single linear unit is one
            yes-or-no question, too.
        activation: What the model applied last: "linear", "softmax" or "sigmoid".

    Returns:
        Logits `[batch, ..., classes]`; for sigmoid units `[batch, ..., 2]` or
        `[batch, ..., labels, 2]`.
    """
    # Keras keeps the tensor that went into a softmax or sigmoid: nothing is lost by rounding.
    kept = getattr(outputs, "_keras_logits", None)
    dtype = "float64" if keras.backend.standardize_dtype(outputs.dtype) == "float64" else "float32"
    if activation == "softmax":
        if kept is not None:
            return ops.cast(kept, dtype)
        probabilities = ops.cast(outputs, dtype)
        return ops.log(ops.maximum(probabilities, keras.config.epsilon() ** 4))
    if activation == "sigmoid":
        if kept is None:
            probabilities = ops.cast(outputs, dtype)
            tiny = keras.config.epsilon()
            clipped = ops.clip(probabilities, tiny, 1.0 - tiny)
            kept = ops.log(clipped) - ops.log(1.0 - clipped)
        return _two_classes(ops.cast(kept, dtype))
    logits = ops.cast(outputs, dtype)
    # A softmax over one class would leave nothing to learn.
    return _two_classes(logits) if logits.shape[-1] == 1 else logits


def _two_classes(units: Any) -> Any:
    """Logits of no and yes, `[..., 2]`, of what sigmoid units answer."""
    if units.shape[-1] == 1:
        units = ops.squeeze(units, axis=-1)
    return ops.stack([ops.zeros_like(units), units], axis=-1)


def batch_size(y_pred: Any) -> Any:
    """Returns how many examples a model's outputs are of."""
    return ops.shape(keras.tree.flatten(y_pred)[0])[0]
