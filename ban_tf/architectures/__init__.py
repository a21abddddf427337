"""Networks by name: `wrn-28-10` or `package.module:function` becomes a Keras model.

A name starts with its family. A family is one module, found through the table `FAMILIES`, with
`FORM` (what its names look like), `DEFAULT` (what the bare family name stands for), `NAMED` (the
settings that a name tells), `parse(name)` (those of one name, or an InputError) and
`build(input_shape, num_classes, ...)` that takes those settings. A family of language models says
`TASK = "text"`, and its `build` takes a vocabulary instead; see `build_language_model`. To add an
architecture, write that module and add its line below. Builders of the user's own are in `users`.

Names are checked without importing Keras, so that a misspelled one is reported at once; family
modules therefore import it only when they build.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ban_tf.architectures import custom
from ban_tf.errors import InputError

if TYPE_CHECKING:
    import keras

FAMILIES = {
    "cnn-lstm": "ban_tf.architectures.cnn_lstm",
    "densenet": "ban_tf.architectures.densenet",
    "lstm": "ban_tf.architectures.lstm",
    "resnet": "ban_tf.architectures.resnet",
    "wrn": "ban_tf.architectures.wide_resnet",
}

# What `build` of a family is told by the data.
_SIZES = ("input_shape", "num_classes", "vocabulary", "batch_size", "steps")


def resolve(name: str) -> str:
    """Checks the name of an architecture and completes it.

    Args:
        name: A family (`wrn`), a full name (`wrn-28-10`) or a builder of the user's own
            (`package.module:function`), which is checked for its form only.

    Returns:
        The full name: `wrn-16-1` for `wrn`.

    Raises:
        InputError: If no architecture has this name.
    """
    if ":" in name:
        custom.parse(name)
        return name
    family = _family(name)
    full = family.DEFAULT if name.lower() in FAMILIES else name.lower()
    family.parse(full)
    return full


def build(
    name: str, input_shape: tuple[int, int, int], num_classes: int, **options: Any
) -> keras.Model:
    """Builds a freshly initialized network.

    Args:
        name: What `resolve` takes.
        input_shape: Height, width and channels of one image.
        num_classes: How many logits the network gives.
        **options: Settings beyond the name, for example `dropout=0.3`. One that is None or
            zero is off, and then may be given to networks that do not have it; see `settings`.

    Returns:
        A model from images `[batch, height, width, channels]` to `[batch, num_classes]`
        float32 logits; a user's builder may give probabilities instead.

    Raises:
        InputError: If the name, the sizes or an option is wrong, or a user's builder fails.
    """
    if num_classes < 2 or len(input_shape) != 3 or min(input_shape) < 1:
        raise InputError(
            "input_shape must be (height, width, channels) and num_classes at least 2. "
            f"Received: input_shape={tuple(input_shape)}, num_classes={num_classes}"
        )
    name = resolve(name)
    if task(name) != "images":
        raise InputError(f"--arch={name} is a language model; it needs --dataset=text:PATH")
    options = _chosen(options)
    check_settings([name], options)
    if ":" in name:
        return custom.build(name, tuple(input_shape), num_classes)
    family = _family(name)
    return family.build(tuple(input_shape), num_classes, **family.parse(name), **options)


def build_language_model(
    name: str,
    vocabulary: Sequence[str],
    batch_size: int | None = None,
    steps: int | None = None,
    **options: Any,
) -> keras.Model:
    """Builds a freshly initialized language model.

    Args:
        name: What `resolve` takes, of a family of language models.
        vocabulary: The words.
        batch_size: Streams read side by side, whose state is kept from batch to batch; None for
            a model that starts every batch anew, and takes any number of streams.
        steps: Words in a batch, or None for any number.
        **options: As for `build`.

    Returns:
        A model from words, int32 `[batch, steps]`, to float32 logits `[batch, steps, words]`.

    Raises:
        InputError: If the name or an option is wrong.
    """
    name = resolve(name)
    if task(name) != "text":
        raise InputError(f"--arch={name} is no language model; use lstm or cnn-lstm")
    options = _chosen(options)
    check_settings([name], options)
    family = _family(name)
    sizes = {"batch_size": batch_size, "steps": steps}
    return family.build(vocabulary, **family.parse(name), **sizes, **options)


def task(name: str) -> str:
    """Returns what an architecture is for: "images" or "text"."""
    return "images" if ":" in name else getattr(_family(name), "TASK", "images")


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in options.items() if value or value is False}


def shares_ends(name: str) -> bool:
    """Tells whether a student of this name has its first and last layer from its teacher."""
    return ":" not in name and getattr(_family(name), "SHARES_ENDS", False)


def settings(name: str) -> set[str]:
    """Returns the settings that an architecture has beyond its name, such as "dropout"."""
    if ":" in name:
        return set()
    family = _family(name)
    parameters = inspect.signature(family.build).parameters
    return {*parameters} - {*_SIZES, *family.NAMED}


def check_settings(
    names: Sequence[str],
    options: dict[str, Any],
    settings: Callable[[str], set[str]] = settings,
) -> None:
    """Makes sure that each setting is one of at least one of these architectures.

    Args:
        names: Of the architectures.
        options: The settings by name.
        settings: Returns the settings of an architecture.

    Raises:
        InputError: If a setting belongs to none of them.
    """
    allowed = set().union(*map(settings, names))
    wrong = ", ".join(f"--{option}={options[option]}" for option in sorted({*options} - allowed))
    if wrong:
        raise InputError(
            f"{wrong}: --arch={' and '.join(names)} takes "
            f"{', '.join(sorted(allowed)) or 'no such options'}"
        )


def count_parameters(name: str, *sizes: Any, **options: Any) -> tuple[int, int]:
    """Counts a network's parameters without memory for them.

    Args:
        name: What `resolve` takes.
        *sizes: Input shape and number of classes, or a vocabulary.
        **options: As for `build`.

    Returns:
        How many are trained, and how many there are in all (the moving statistics of batch
        normalization included).
    """
    import keras

    with keras.StatelessScope():  # variables in it have a shape, but no value yet
        make = build if task(name) == "images" else build_language_model
        model = make(name, *sizes, **options)
        trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        return trained, sum(math.prod(weight.shape) for weight in model.weights)


def _family(name: str) -> ModuleType:
    name = name.lower()
    family = next((each for each in FAMILIES if f"{name}-".startswith(f"{each}-")), None)
    if family is None:
        family, dash, rest = name.partition("-")
        close = difflib.get_close_matches(family, FAMILIES, n=1, cutoff=0.5)
        forms = ", ".join(importlib.import_module(module).FORM for module in FAMILIES.values())
        hint = f"; did you mean {close[0]}{dash}{rest}?" if close else ""
        raise InputError(
            f"--arch={name}: unknown architecture{hint} (there are {forms}, and "
            "package.module:function for a builder of yours)"
        )
    return importlib.import_module(FAMILIES[family])
