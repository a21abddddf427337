"""Trainable parameters of distillation losses, such as a projection between feature widths.

A `keras.distillation.DistillationLoss` is a plain object, in which Keras does not look for layers.
Layers and variables that it holds, as attributes or in lists and dictionaries of these, are
trained beside the student and are no part of it (Romero et al., 2015, call such a layer a
regressor). What must not be trained has `trainable=False`, as everywhere in Keras.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from ban_tf.errors import InputError

_PLAIN = (type, types.ModuleType, types.FunctionType, types.MethodType, np.ndarray)


def parts(holder: Any) -> list[Any]:
    """Returns the Keras layers and variables that an object holds, each once.

    Args:
        holder: An object, or lists, tuples, sets and dictionaries of objects.
    """
    return list(_parts(holder, set()))


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    if id(value) in seen or isinstance(value, _PLAIN):
        return
    seen.add(id(value))
    if isinstance(value, (keras.Layer, keras.Variable)):
        yield value
        return
    if isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = list(value)
    elif isinstance(value, (keras.distillation.DistillationLoss, keras.losses.Loss)) or _users(
        value
    ):
        inner = list(vars(value).values())
    else:
        if getattr(value, "trainable", False) and hasattr(value, "assign"):
            raise InputError(
                f"`distillation_losses` hold the variable {getattr(value, 'name', value)!r}, which "
                "is not Keras's and would not be trained; give a keras.Variable."
            )
        return
    for held in inner:
        yield from _parts(held, seen)


def _users(value: Any) -> bool:
    """Whether an object is of a class that the user wrote."""
    package = type(value).__module__.partition(".")[0]
    return hasattr(value, "__dict__") and package not in (
        *("keras", "tensorflow", "jax", "jaxlib", "numpy", "torch", "builtins"),
    )


def collect(losses: list[Any], kind: str, others: list[keras.Model]) -> list[Any]:
    """Returns the variables of distillation losses, each once.

    Args:
        losses: The losses.
        kind: "variables", or "weights" without the state of random generators.
        others: Models whose variables do not count, though a loss may hold them.
    """
    seen = {id(variable) for model in others for variable in model.variables}
    found = []
    for part in parts(losses):
        for variable in [part] if isinstance(part, keras.Variable) else getattr(part, kind):
            if id(variable) not in seen:
                seen.add(id(variable))
                found.append(variable)
    return found


def build(loss: Any, teachers: Any, students: Any) -> None:
    """Builds the layers of a distillation loss by calling it on symbolic tensors.

    Args:
        loss: A `DistillationLoss`.
        teachers: The teacher's tensors that it is given, as `keras.KerasTensor`s; None if their
            shapes are unknown.
        students: The student's, likewise.

    Raises:
        InputError: The shapes are unknown.
    """
    unbuilt = [part for part in parts(loss) if isinstance(part, keras.Layer) and not part.built]
    if not unbuilt:
        return
    if teachers is None or students is None:
        raise InputError(
            f"`distillation_losses`: {type(loss).__name__} holds the layer {unbuilt[0].name!r}, "
            "which has no weights yet, and the model does not show for which shape; call the "
            "layer's build(shape) beforehand."
        )
    _Call(loss)([teachers, students])


class _Call(keras.Layer):
    """Calls a distillation loss where Keras builds layers, without keeping track of any."""

    def __init__(self, loss: Any):
        super().__init__()
        self._call = lambda teachers, students: loss.compute_loss(teachers, students)

    def call(self, both: Any) -> Any:
        """Returns the loss of the teacher's and the student's tensors."""
        return self._call(*both)
