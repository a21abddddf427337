"""A model's outputs by name, and their conversion to logits.

An objective for classes works on logits. Models that end in a softmax are supported, too, because
log-probabilities are logits up to a constant per example, and a softmax at any temperature ignores
that constant. A binary unit is a choice between two classes, whose logits are 0 and the unit's own.
Values are not converted. `output_kinds` decides which of these an output is.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
from keras import ops

from ban_tf.compat import keras_private
from ban_tf.compat.loss_kinds import BINARY, CATEGORICAL, VALUES
from ban_tf.compat.model_ends import visible_end
from ban_tf.compat.output_kinds import ACTIVATIONS


def named(structure: Any, names: list[str] | None = None) -> dict[str, Any]:
    """Returns a model's outputs (or labels, or weights) by name.

    Args:
        structure: One tensor, a list or tuple of them, or a dictionary; or any nesting of these.
        names: The names that a list's entries have; `output_0`, `output_1`, ... if left out.

    Returns:
        A dictionary: a dictionary's own keys, else `names` in order; of a nested structure, such as
        `{"p": (a, b), "q": c}`, the paths `p/0`, `p/1`, `q`.
    """
    if not isinstance(structure, (dict, list, tuple)):
        structure = [structure]
    nested = any(_is_nested(entry) for entry in _entries(structure).values())
    if not isinstance(structure, dict):
        if nested or not names:
            names = [f"output_{index}" for index in range(len(structure))]
        structure = dict(zip(names, structure, strict=False))
    return dict(_paths(structure)) if nested else dict(structure)


def _entries(structure: Any) -> dict[Any, Any]:
    return structure if isinstance(structure, dict) else dict(enumerate(structure))


def _is_nested(entry: Any) -> bool:
    """Returns whether an entry is a structure of tensors, and not a nested list of numbers."""
    return isinstance(entry, (dict, list, tuple)) and any(
        hasattr(leaf, "shape") for leaf in keras.tree.flatten(entry)
    )


def _paths(structure: Any) -> Iterator[tuple[str, Any]]:
    for name, entry in _entries(structure).items():
        if _is_nested(entry):
            for path, leaf in _paths(entry):
                yield f"{name}/{path}", leaf
        else:
            yield str(name), entry


def aligned(
    by_name: dict[str, Any], names: list[str], counted: Collection[str] = ()
) -> dict[str, Any]:
    """Returns another model's outputs under this model's names.

    Args:
        by_name: The other model's outputs by name.
        names: This model's names. If none is shared and the numbers are equal, outputs are matched
            by their order.
        counted: Automatic names of Keras, from `counted_names`. Outputs with these are matched by
            their order, too, since Keras counts layers on from model to model.
    """
    shared = [name for name in names if name in by_name and name not in counted]
    theirs, ours = ([n for n in given if n not in shared] for given in (by_name, names))
    automatic = bool(counted) and any(set(rest) <= set(counted) for rest in (theirs, ours))
    if len(theirs) != len(ours) or (shared and not automatic):
        return by_name
    partner = {**dict(zip(shared, shared, strict=True)), **dict(zip(ours, theirs, strict=True))}
    return {name: by_name[partner[name]] for name in names}


def structured_like(structure: Any, by_name: dict[str, Any]) -> Any:
    """Returns values by name in the structure of the model's outputs.

    Args:
        structure: As for `named`.
        by_name: Values with the names of `named(structure, ...)`.
    """
    names = list(named(structure))
    if by_name.keys() == set(names):  # in another order, where Keras sorts the keys of outputs
        by_name = {name: by_name[name] for name in names}
    return _packed(structure, iter(by_name.values()))


def _packed(structure: Any, values: Iterator[Any]) -> Any:
    if isinstance(structure, dict):
        return {name: _packed(entry, values) for name, entry in structure.items()}
    if isinstance(structure, (list, tuple)):
        entries = [_packed(entry, values) for entry in structure]
        named_tuple = hasattr(structure, "_fields")
        return type(structure)(*entries) if named_tuple else type(structure)(entries)
    return next(values)


def output_names(model: keras.Model) -> list[str] | None:
    """Returns the names of a Functional model's outputs; None for other models.

    Repeated outputs get a number after their name.
    """
    structure = keras_private.output_structure(model)
    if isinstance(structure, dict) or (
        isinstance(structure, (list, tuple)) and any(_is_nested(entry) for entry in structure)
    ):
        return list(named(structure))
    names = getattr(model, "output_names", None)
    if not names or isinstance(model, keras.Sequential):
        return None
    before = [names[:index].count(name) for index, name in enumerate(names)]
    return [f"{name}_{count}" if count else name for name, count in zip(names, before, strict=True)]


def is_counted(name: str, class_name: str) -> bool:
    """Returns whether a name is an automatic one of Keras, such as `dense_3`.

    Automatic names of optimizers have other forms than those of layers: `adamw`, `SGD`.
    """
    base = re.sub(r"_\d+$", "", name)
    return base.replace("_", "").lower() == class_name.replace("_", "").lower()


def counted_names(*models: keras.Model) -> set[str]:
    """Returns the automatic names of Keras among the outputs of models.

    Nothing if a model has none: those of another one that it shares were then chosen by the user.
    """
    found = [_counted_names(model) for model in models]
    return set().union(*found) if all(found) else set()


def _counted_names(model: keras.Model) -> set[str]:
    if isinstance(keras_private.output_structure(model), dict):
        return set()
    makers = {
        name: keras_private.origin(tensor).operation for name, tensor in symbolic(model).items()
    }
    return {name for name, it in makers.items() if is_counted(it.name, type(it).__name__)}


def final_activations(model: keras.Model) -> dict[str, str]:
    """Returns the last activation of each output of a model, by the output's name.

    Args:
        model: Any Keras model.

    Returns:
        "linear", "softmax" or "sigmoid" for each output whose end the model's graph shows; see
        `model_ends`. Nothing for the others.
    """
    found = visible_ends(model)
    return {name: end for name, end in found.items() if end in ACTIVATIONS}


def first_activation(model: keras.Model) -> str:
    """Returns the last activation of a model's first output; "linear" if it is not visible."""
    return next(iter(final_activations(model).values()), "linear")


def visible_ends(model: keras.Model) -> dict[str, str | None]:
    """Returns `model_ends.visible_end` of each output of a model.

    Args:
        model: Any Keras model. One without a graph (a subclass, or a Sequential model that is not
            built yet) has no entries.
    """
    return {name: visible_end(tensor) for name, tensor in symbolic(model).items()}


def symbolic(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Returns the symbolic outputs of a model by name; empty for a model without a graph."""
    if isinstance(model, keras.Sequential):
        tensors = getattr(model, "outputs", None) if model.built else None
        return named(tensors[0]) if tensors else {}
    structure = keras_private.output_structure(model)
    return {} if structure is None else named(structure, output_names(model))


def to_logits(outputs: Any, activation: str, kind: str | None = None) -> Any:
    """Converts one output of a model to float32 logits, exactly.

    Args:
        outputs: `[batch, ..., classes]`; for binary units `[batch, ..., units]`, or `[batch]` for
            a single one; values `[batch, ..., units]`.
        activation: The last activation: "linear", "softmax" or "sigmoid".
        kind: "categorical", "binary" or "values". None treats a softmax and several linear units
            as categorical, a sigmoid and a single linear unit as binary.

    Returns:
        Categorical: logits `[batch, ..., classes]`. Binary: logits of no and yes, `[batch, ..., 2]`
        of one unit and `[batch, ..., units, 2]` of several. Values: unchanged, in float32.
    """
    single = len(outputs.shape) == 1 or outputs.shape[-1] == 1
    if kind is None:
        binary = activation == "sigmoid" or (activation == "linear" and single)
        kind = BINARY if binary else CATEGORICAL
    dtype = "float64" if keras.backend.standardize_dtype(outputs.dtype) == "float64" else "float32"
    # Keras keeps the input of a softmax or sigmoid, so that there is no rounding error.
    kept = keras_private.kept_logits(outputs)
    numbers = ops.cast(outputs, dtype)
    if kind == VALUES:
        return ops.expand_dims(numbers, axis=-1) if len(numbers.shape) == 1 else numbers
    if kind == CATEGORICAL:
        if activation == "softmax" and kept is not None:
            return ops.cast(kept, dtype)
        if activation != "linear":
            return ops.log(ops.maximum(numbers, keras.config.epsilon() ** 4))
        return numbers
    if activation == "sigmoid" and kept is not None:
        numbers = ops.cast(kept, dtype)
    elif activation != "linear":
        tiny = keras.config.epsilon()
        clipped = ops.clip(numbers, tiny, 1.0 - tiny)
        numbers = ops.log(clipped) - ops.log(1.0 - clipped)
    return _two_classes(numbers)


def log_probabilities(outputs: np.ndarray, activation: str) -> np.ndarray:
    """Returns the normalized log-probabilities of categorical outputs, float64.

    Args:
        outputs: `[batch, ..., classes]`.
        activation: The last activation: "linear" or "softmax".
    """
    with _double_precision():
        logits = to_logits(ops.convert_to_tensor(outputs), activation)
        return ops.convert_to_numpy(ops.log_softmax(ops.cast(logits, "float64"), axis=-1))


def log_odds(outputs: np.ndarray, activation: str) -> np.ndarray:
    """Returns the log-odds of several binary outputs, float64 `[batch, units]`.

    Args:
        outputs: `[batch, units]`, of at least two units.
        activation: The last activation: "linear" or "sigmoid".
    """
    exact = np.asarray(outputs, np.float64)
    with _double_precision():
        both = to_logits(ops.convert_to_tensor(exact, "float64"), activation, BINARY)
        return ops.convert_to_numpy(both[..., 1])


def _double_precision() -> AbstractContextManager:
    """Returns a context in which there is float64, which JAX has only where it is enabled."""
    if keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    import jax

    older = getattr(jax.experimental, "enable_x64", None)
    return jax.enable_x64(True) if older is None else older()


def _two_classes(units: Any) -> Any:
    """Returns logits of no and yes, `[..., 2]`, given the logits of yes."""
    if len(units.shape) > 1 and units.shape[-1] == 1:
        units = ops.squeeze(units, axis=-1)
    return ops.stack([ops.zeros_like(units), units], axis=-1)


def batch_size(y_pred: Any) -> Any:
    """Returns the number of examples of a model's outputs."""
    return ops.shape(keras.tree.flatten(y_pred)[0])[0]
