"""The whole state of a training as arrays, and as the bytes of one file.

The state is every variable that training changes: the model's weights, the state of its random
generators, the optimizer's variables, the states of recurrent layers of student and teachers, and,
within an epoch, the metrics. Arrays are stored as `.npz` without pickling, other values as JSON
beside them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from ban_tf.compat import recurrent_states
from ban_tf.errors import InputError
from ban_tf.system import archives, json_schema
from ban_tf.training import optimizers

_NOTES = "notes"


def variables(model: keras.Model) -> list[Any]:
    """Returns the variables of a compiled, built model that training changes, in order."""
    measured = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in measured]
    schedule = optimizers.schedule_variables(model.optimizer)
    return [*own, *model.optimizer.variables, *schedule]


def capture(model: keras.Model) -> list[np.ndarray]:
    """Returns a copy of a model's state; all workers must call it together."""
    return [*_values(variables(model)), *recurrent_states.capture(model)]


def restore(model: keras.Model, state: list[np.ndarray]) -> None:
    """Restores a captured state.

    Raises:
        InputError: The state belongs to another model or optimizer.
    """
    moved = variables(model)
    _assign(moved, state[: len(moved)])
    recurrent_states.restore(model, state[len(moved) :])


def capture_metrics(model: keras.Model) -> list[np.ndarray]:
    """Returns a copy of the state of the metrics within an epoch."""
    return _values(model.metrics_variables)


def restore_metrics(model: keras.Model, metrics: list[np.ndarray]) -> None:
    """Restores captured metrics.

    Raises:
        InputError: They belong to another model.
    """
    _assign(model.metrics_variables, metrics)


def _values(variables: list[Any]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    shapes = [tuple(variable.shape) for variable in variables]
    numbers = all(array.dtype.kind in "fiubV" for array in values)  # V: bfloat16
    if shapes != [array.shape for array in values] or not numbers:
        raise InputError("The checkpoint belongs to another model or another optimizer.")
    for variable, array in zip(variables, values, strict=True):
        variable.assign(array)


def pack(arrays: list[np.ndarray], notes: Mapping[str, Any] | None = None) -> bytes:
    """Returns arrays, and notes that JSON can hold, as the bytes of an `.npz` file."""
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(notes or {}).encode(), dtype=np.uint8)
    named: dict[str, Any] = {f"{index:05d}": array for index, array in enumerate(arrays)}
    np.savez(buffer, **{_NOTES: text, **named})
    return buffer.getvalue()


def unpack(content: bytes, name: object = "The checkpoint") -> tuple[list[np.ndarray], Any]:
    """Returns the arguments of `pack`. Nothing is unpickled.

    Args:
        content: The content of the file.
        name: The name of the file, for messages.

    Raises:
        CorruptFileError: The content is something else.
    """
    found = archives.arrays(content, name, [_NOTES])
    notes = json_schema.parse(found.pop(_NOTES).tobytes(), f"{name}: its notes")
    return [found[key] for key in sorted(found)], notes
