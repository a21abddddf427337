"""Architectures by name: ``wrn-28-2``, or a user's own builder as ``package.module:function``.

A name is a family, then what the family's module reads from the rest. Such a module offers

* ``DEFAULT``: the full name that the bare family stands for;
* ``parse(name) -> dict``: the options in a full name, without importing Keras;
* ``build(input_shape, num_classes, **options) -> keras.Model`` with float32 logits.

A new architecture is one such file and one line in ``FAMILIES``. Modules are imported when asked
for, so that reading a command line stays quick.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

FAMILIES = {
    "wrn": "ban_tf.architectures.wide_resnet",
}


def resolve(name: str) -> str:
    """Check an architecture's name and complete it, without importing Keras.

    Args:
        name: A family ("wrn"), a full name ("wrn-16-1") or "package.module:function".

    Returns:
        The full name; a builder of the user's own is returned as it is, not imported.

    Raises:
        ValueError: If the family is unknown or the rest of the name is not right for it.
    """
    if ":" in name:
        module, _, function = name.partition(":")
        if not function.isidentifier() or not all(map(str.isidentifier, module.split("."))):
            raise ValueError(f"--arch={name} should be of the form package.module:function.")
        return name
    family = _family(name)
    full_name = family.DEFAULT if name in FAMILIES else name
    family.parse(full_name)
    return full_name


def build(
    name: str, input_shape: tuple[int, int, int], num_classes: int, **options: Any
) -> keras.Model:
    """Build a network with fresh weights.

    Args:
        name: As for ``resolve``.
        input_shape: [height, width, channels] of an image.
        num_classes: Number of logits.
        **options: Passed to the builder, such as ``dropout`` of a wide residual network.

    Returns:
        A model from images [batch, height, width, channels] to float32 logits [batch, classes].

    Raises:
        ValueError: If the name is not right, or the user's builder cannot be imported or does
            not return such a model.
    """
    name = resolve(name)
    if ":" in name:
        model = _user_builder(name)(input_shape, num_classes, **options)
        _check(model, name, num_classes)
        return model
    family = _family(name)
    return family.build(input_shape, num_classes, **family.parse(name), **options)


def _family(name: str) -> ModuleType:
    family = name.partition("-")[0]
    if family in FAMILIES:
        return importlib.import_module(FAMILIES[family])
    close = difflib.get_close_matches(family.lower(), FAMILIES)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise ValueError(
        f"--arch={name} is not a known architecture.{hint} It should begin with one of "
        f"{', '.join(sorted(FAMILIES))}, or be a builder of yours as package.module:function."
    )


def _user_builder(name: str) -> Callable[..., Any]:
    module_name, _, function = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(
            f"--arch={name}: importing {module_name} failed ({error}); it should be a module on "
            "the Python path."
        ) from error
    builder = getattr(module, function, None)
    if not callable(builder):
        raise ValueError(
            f"--arch={name}: {module_name} has no function {function}; it should define "
            f"{function}(input_shape, num_classes)."
        )
    return builder


def _check(model: Any, name: str, num_classes: int) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(
            f"--arch={name} returned {type(model).__name__}; it should return a keras.Model."
        )
    if not model.built:
        raise ValueError(
            f"--arch={name} returned a model that is not built; it should know its input's shape."
        )
    shape = getattr(model, "output_shape", None)
    if shape != (None, num_classes):
        raise ValueError(
            f"--arch={name} returned a model of output shape {shape}; it should be "
            f"(None, {num_classes}), one logit per class."
        )
    dtype = keras.backend.standardize_dtype(model.outputs[0].dtype)
    if dtype != "float32":
        raise ValueError(
            f"--arch={name} returned a model with {dtype} logits; they should be float32: give "
            'the last layer dtype="float32".'
        )
