"""Custom networks, `package.module:function`.

The function is called with (input_shape, num_classes) and returns a Keras model from images to one
output `[batch, num_classes]` in float32: logits or probabilities. For segmentation the output is
`[batch, height, width, num_classes]`. If it has arguments `mean` and
`std`, it is given those of the channels of the training images, scaled to 0..1, as tuples.

For texts with labels it is called with (words, length, num_classes), and its model takes the
numbers of words, int32 `[batch, length]`, of which 0 is padding; for tables with (features, units),
and it takes float32 `[batch, features]`. Both return logits, or a number, of a linear layer.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ban_tf.architectures import applications, backbones
from ban_tf.errors import CustomCodeError, InputError
from ban_tf.system import flag_names, user_code

if TYPE_CHECKING:
    import keras

# What networks take of other data than images: the type of numbers, and what they are.
_TAKEN = {"documents": ("int32", "words"), "tables": ("float32", "features")}


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

    builder, channels = _load(name, ("input_shape", "num_classes")), input_shape[-1]
    statistics = {
        "mean": (0.0,) * channels if mean is None else tuple(map(float, mean)),
        "std": (1.0,) * channels if std is None else tuple(map(float, std)),
    }
    taken = _parameters(builder)
    given = {key: value for key, value in statistics.items() if key in taken}
    model = _call(name, builder, input_shape, num_classes, **given)
    sizes = input_shape[:2] if per_pixel else ()
    images = keras.Input(shape=input_shape)
    _check_outputs(name, model, images, "images", (*sizes, num_classes))
    return model


def build_of_sizes(name: str, sizes: Mapping[str, int], data: str) -> keras.Model:
    """Calls a custom function for texts or tables, and checks the network that it returns.

    Args:
        name: `package.module:function`.
        sizes: The arguments of the function and what they are called, in order: the last is the
            number of outputs, the one before it the size of the input.
        data: "documents" or "tables".

    Raises:
        InputError: The function does not exist, or its model does not fit.
    """
    import keras

    from ban_tf.compat import outputs

    builder = _load(name, tuple(sizes))
    model = _call(name, builder, *sizes.values())
    *_, size, units = sizes.values()
    dtype, what = _TAKEN[data]
    _check_outputs(name, model, keras.Input((size,), dtype=dtype), what, (units,))
    end = outputs.first_activation(model)
    if end != "linear":
        raise InputError(f"--arch={name}: the model ends in a {end}; end it in logits")
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
    name: str, model: Any, given: Any, what: str, output_shape: tuple[int, ...]
) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise InputError(
            f"--arch={name}: the builder must return a keras.Model, not {type(model).__name__}"
        )
    input_shape = tuple(given.shape[1:])
    inputs = [tuple(tensor.shape[1:]) for tensor in getattr(model, "inputs", None) or ()]
    if inputs and (len(inputs) > 1 or not _fits(inputs[0], input_shape)):
        raise InputError(
            f"--arch={name}: the model does not take {what} of shape {input_shape}, but "
            f"{' and '.join(map(str, inputs))}"
        )
    outputs = model(given)
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


def _load(name: str, arguments: Sequence[str]) -> Callable:
    builder, listed = user_code.load(name, f"--arch={name}"), f"({', '.join(arguments)})"
    if not callable(builder):
        raise InputError(
            f"--arch={name}: {name.partition(':')[2]} must be a function of {listed}, not "
            f"{type(builder).__name__}"
        )
    known = {"mean", "std"} & _parameters(builder) if "input_shape" in arguments else set()
    if not user_code.takes(functools.partial(builder, **dict.fromkeys(known)), len(arguments)):
        further = ", and may take mean and std" if "input_shape" in arguments else ""
        raise InputError(
            f"--arch={name}: {name.partition(':')[2]} must take {listed}{further}; it takes other "
            "arguments"
        )
    return builder


def _call(name: str, builder: Callable, *args: Any, **kwargs: Any) -> Any:
    """Calls a custom function; where it calls this package wrongly, the traceback is kept, too."""
    try:
        with flag_names.apart():
            return builder(*args, **kwargs)
    except InputError as error:
        raise CustomCodeError(f"{name} failed: {error}") from error


def _parameters(function: Callable) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:  # a builtin without a signature
        return set()
