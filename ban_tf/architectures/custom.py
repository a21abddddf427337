"""Custom networks, `package.module:function`.

The function is called with (input_shape, num_classes) and returns a Keras model from images to one
output `[batch, num_classes]` in float32: logits or probabilities. For segmentation the output is
`[batch, height, width, num_classes]`. If it has arguments `mean` and
`std`, it is given those of the channels of the training images, scaled to 0..1, as tuples.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ban_tf.architectures import applications, backbones
from ban_tf.errors import InputError
from ban_tf.system import user_code

if TYPE_CHECKING:
    import keras


def parse(name: str) -> tuple[str, str]:
    """Returns the module and the function of a name, without importing anything.

    Raises:
        InputError: It is not `package.module:function`.
    """
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), function]):
        raise InputError(f"--arch={name}: a custom network is named package.module:function")
    return module, function


def build(
    name: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    per_pixel: bool = False,
) -> keras.Model:
    """Calls a custom function and checks the network that it returns.

    Args:
        name: `package.module:function`.
        input_shape: Height, width and channels of one image.
        num_classes: The number of outputs of the model.
        mean: Of each channel of the training images, scaled to 0..1, for a function that takes it;
            zeros by default.
        std: Likewise; ones by default.
        per_pixel: Whether each pixel has outputs.

    Raises:
        InputError: The function does not exist, or its model does not fit. Errors of the
            function itself are not caught.
    """
    import keras

    builder, channels = _load(name), input_shape[-1]
    statistics = {
        "mean": (0.0,) * channels if mean is None else tuple(map(float, mean)),
        "std": (1.0,) * channels if std is None else tuple(map(float, std)),
    }
    taken = _parameters(builder)
    given = {key: value for key, value in statistics.items() if key in taken}
    model = builder(input_shape, num_classes, **given)
    if not isinstance(model, keras.Model):
        raise InputError(
            f"--arch={name}: the builder must return a keras.Model, not {type(model).__name__}"
        )
    sizes = input_shape[:2] if per_pixel else ()
    _check_outputs(name, model, input_shape, (*sizes, num_classes))
    return model


def start(
    model: keras.Model,
    name: str,
    weights: str | None = None,
    freeze: str | None = None,
    backbone_learning_rate: float | None = None,
) -> None:
    """Starts a custom network as one of a backbone and a head, its last layer; see `backbones`.

    Raises:
        InputError: It has no weights that belong to its name, or a file does not fit.
    """
    if weights == applications.IMAGENET:
        raise InputError(
            f"--weights={weights} is for keras:NAME; --arch={name} takes a file, or none"
        )
    path = backbones.file_of(weights)
    backbones.start(model, name, path, freeze, backbone_learning_rate)


def _check_outputs(
    name: str, model: keras.Model, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
) -> None:
    import keras

    inputs = [tuple(tensor.shape[1:]) for tensor in getattr(model, "inputs", None) or ()]
    if inputs and (len(inputs) > 1 or not _fits(inputs[0], input_shape)):
        raise InputError(
            f"--arch={name}: the model does not take images of shape {input_shape}, but "
            f"{' and '.join(map(str, inputs))}"
        )
    outputs = model(keras.Input(shape=input_shape))
    shape = getattr(outputs, "shape", None)
    if shape is None or tuple(shape[1:]) != output_shape:
        wanted = ", ".join(map(str, output_shape))
        raise InputError(
            f"--arch={name}: the model must give one output [batch, {wanted}], "
            f"not {shape if shape is not None else 'several outputs'}"
        )
    dtype = keras.backend.standardize_dtype(outputs.dtype)
    if dtype != "float32":
        raise InputError(
            f"--arch={name}: the model's output must be float32, not {dtype}; "
            'give its last layer dtype="float32"'
        )


def _fits(taken: tuple[int | None, ...], given: tuple[int, ...]) -> bool:
    return len(taken) == len(given) and all(
        size in (None, wanted) for size, wanted in zip(taken, given, strict=True)
    )


def _load(name: str) -> Callable:
    builder = user_code.load(name, f"--arch={name}")
    if not callable(builder):
        raise InputError(
            f"--arch={name}: {name.partition(':')[2]} must be a function of (input_shape, "
            f"num_classes), not {type(builder).__name__}"
        )
    known = {"mean", "std"} & _parameters(builder)
    if not user_code.takes(functools.partial(builder, **dict.fromkeys(known)), 2):
        raise InputError(
            f"--arch={name}: {name.partition(':')[2]} must take (input_shape, num_classes), "
            "and may take mean and std; it takes other arguments"
        )
    return builder


def _parameters(function: Callable) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:  # a builtin without a signature
        return set()
