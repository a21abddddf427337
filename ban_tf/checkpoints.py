"""A training's whole state as named arrays, and as the bytes of one file.

The state is every variable that training moves: the model's weights, the state of its random
generators, the optimizer's variables, and, inside an epoch, its metrics. Arrays travel as
`.npz` without pickling; what is not an array travels as JSON beside them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

_NOTES = "notes"


def variables(model: keras.Model, metrics: bool = False) -> list[Any]:
    """Returns the variables that make up the state of a compiled, built model, in order."""
    measured = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in measured]
    return [*own, *model.optimizer.variables, *(model.metrics_variables if metrics else ())]


def capture(model: keras.Model, metrics: bool = False) -> list[np.ndarray]:
    """Copies the state of a model out of it."""
    return [np.array(keras.ops.convert_to_numpy(each)) for each in variables(model, metrics)]


def restore(model: keras.Model, state: list[np.ndarray], metrics: bool = False) -> None:
    """Puts a captured state back.

    Raises:
        ValueError: The state is that of another model or optimizer.
    """
    targets = variables(model, metrics)
    shapes = [tuple(variable.shape) for variable in targets]
    if shapes != [array.shape for array in state]:
        raise ValueError("The checkpoint belongs to another model or another optimizer.")
    for variable, array in zip(targets, state, strict=True):
        variable.assign(array)


def pack(arrays: list[np.ndarray], notes: Mapping[str, Any] | None = None) -> bytes:
    """Turns arrays, and notes that JSON can hold, into the bytes of an `.npz` file."""
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(notes or {}).encode(), dtype=np.uint8)
    named = {f"{index:05d}": array for index, array in enumerate(arrays)}
    np.savez(buffer, **{_NOTES: text}, **named)
    return buffer.getvalue()


def unpack(content: bytes) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Gives back what `pack` was given. Nothing is unpickled."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        notes = json.loads(archive[_NOTES].tobytes().decode())
        arrays = [archive[name] for name in sorted(archive.files) if name != _NOTES]
    return arrays, notes
