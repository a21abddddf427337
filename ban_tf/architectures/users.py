"""Networks of the user's own, `package.module:function`.

The function is called with (input_shape, num_classes) and returns a Keras model from images to one
output `[batch, num_classes]` in float32: logits or probabilities.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def parse(name: str) -> tuple[str, str]:
    """Returns the module and the function that a name tells, without importing anything.

    Raises:
        ValueError: It is not `package.module:function`.
    """
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), function]):
        raise ValueError(f"--arch={name}: a builder of yours is named package.module:function")
    return module, function


def build(name: str, input_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """Calls a builder and checks what it returns.

    Args:
        name: `package.module:function`.
        input_shape: Height, width and channels of one image.
        num_classes: How many numbers the model is to give for each image.

    Raises:
        ValueError: The builder cannot be imported, fails, or its model does not fit.
    """
    import keras

    builder = _import(name)
    try:
        model = builder(input_shape, num_classes)
    except Exception as error:  # whatever the user's own code may raise
        raise ValueError(
            f"--arch={name}: the builder called with {input_shape}, {num_classes} raised "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"--arch={name}: the builder must return a keras.Model, not {type(model).__name__}"
        )
    _check_outputs(name, model, input_shape, num_classes)
    return model


def _check_outputs(
    name: str, model: keras.Model, input_shape: tuple[int, ...], num_classes: int
) -> None:
    import keras

    try:
        outputs = model(keras.Input(shape=input_shape))
    except Exception as error:  # Keras has no one class for "does not fit"
        raise ValueError(
            f"--arch={name}: the model does not take images of shape {input_shape}: {error}"
        ) from error
    shape = getattr(outputs, "shape", None)
    if shape is None or tuple(shape[1:]) != (num_classes,):
        raise ValueError(
            f"--arch={name}: the model must give one output [batch, {num_classes}], "
            f"not {shape if shape is not None else 'several outputs'}"
        )
    dtype = keras.backend.standardize_dtype(outputs.dtype)
    if dtype != "float32":
        raise ValueError(
            f"--arch={name}: the model's output must be float32, not {dtype}; "
            'give its last layer dtype="float32"'
        )


def _import(name: str) -> Callable:
    module_name, function_name = parse(name)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a module may raise when it is imported
        raise ValueError(
            f"--arch={name}: importing {module_name} failed: {type(error).__name__}: {error}"
        ) from error
    builder = getattr(module, function_name, None)
    if builder is None:
        close = difflib.get_close_matches(function_name, dir(module), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"--arch={name}: {module_name} has no {function_name}{hint}")
    if not callable(builder):
        raise ValueError(
            f"--arch={name}: {function_name} must be a function of (input_shape, num_classes), "
            f"not {type(builder).__name__}"
        )
    return builder
