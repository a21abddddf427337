"""The names of networks: which there are, what they are for, and the settings that they take.

Nothing is built, and Keras is not imported.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from ban_tf.architectures import applications, backbones, custom
from ban_tf.architectures.applications import is_pretrained
from ban_tf.errors import InputError
from ban_tf.system import flag_names, hardware
from ban_tf.system.arguments import check_flag, is_number

FAMILIES = {
    "bilstm": "ban_tf.architectures.bilstm",
    "causal-transformer": "ban_tf.architectures.causal_transformer",
    "cnn-lstm": "ban_tf.architectures.cnn_lstm",
    "densenet": "ban_tf.architectures.densenet",
    "lstm": "ban_tf.architectures.lstm",
    "mlp": "ban_tf.architectures.mlp",
    "resnet": "ban_tf.architectures.resnet",
    "table-resnet": "ban_tf.architectures.table_resnet",
    "text-cnn": "ban_tf.architectures.text_cnn",
    "text-transformer": "ban_tf.architectures.text_transformer",
    "unet": "ban_tf.architectures.unet",
    "wrn": "ban_tf.architectures.wide_resnet",
}


# The deepest networks of the literature have 1202 layers; beyond that, building takes minutes.
_MOST_LAYERS = 2000


# `build` arguments that come from the dataset.
_SIZES = (
    *("input_shape", "num_classes", "vocabulary", "batch_size", "steps", "words", "length"),
    *("features", "units"),
)


# Of what type options are.
_SWITCHES = ("bottleneck", "final_transition", "remat")
_NUMBERS = ("dropout", "compression", "backbone_learning_rate")
_TEXTS = ("weights", "freeze")


@flag_names.as_arguments(arch="name")
def resolve(name: str) -> str:
    """Checks the name of an architecture and completes it.

    Args:
        name: A family (`wrn`), a full name (`wrn-28-10`) or a custom network
            (`package.module:function`), of which only the form is checked; or a backbone
            (`keras:EfficientNetV2B0`, where `keras:` may be left out, or `kerashub:PRESET`).

    Returns:
        The full name: `wrn-16-1` for `wrn`.

    Raises:
        InputError: If the architecture does not exist.
    """
    if not isinstance(name, str):
        raise InputError(f"`name` must be that of a network. Received: {name!r}")
    if is_pretrained(name):
        return applications.resolve(name)
    if ":" in name:
        custom.parse(name)
        return name
    known = applications.find(name)
    if known is not None:
        return known
    if re.search(r"\d{10}", name):
        raise InputError(f"--arch={name}: numbers in names have at most nine digits")
    family = family_of(name)
    full = family.DEFAULT if name.lower() in FAMILIES else name.lower()
    family.parse(full)
    return full


@flag_names.as_arguments(arch="name")
def fits(name: str, data: str) -> bool:
    """Returns whether an architecture is made for a kind of data.

    Args:
        name: A full name. That of a custom network does not say what it is for; there are none of
            language models.
        data: "images", "masks", "text", "documents" or "tables".
    """
    own = ":" in name and not is_pretrained(name)
    return data != "text" if own else task(name) == data


@flag_names.as_arguments(arch="name")
def task(name: str) -> str:
    """Returns the kind of data of an architecture: images, masks, text, documents or tables."""
    return "images" if ":" in name else getattr(family_of(name), "TASK", "images")


@flag_names.as_arguments(arch="name")
def shares_ends(name: str) -> bool:
    """Returns whether a student of this name uses the first and last layer of its teacher."""
    return ":" not in name and getattr(family_of(name), "SHARES_ENDS", False)


@flag_names.as_arguments(arch="name")
def settings(name: str) -> set[str]:
    """Returns the settings of an architecture besides its name, such as "dropout"."""
    if ":" in name:
        return set(backbones.SETTINGS if is_pretrained(name) else backbones.CUSTOM_SETTINGS)
    family = family_of(name)
    parameters = inspect.signature(family.build).parameters
    return {*parameters} - {*_SIZES, *family.NAMED}


@flag_names.as_arguments(arch="names")
def check_settings(
    names: Sequence[str],
    options: dict[str, Any],
    settings: Callable[[str], set[str]] = settings,
) -> None:
    """Checks that each setting belongs to at least one of these architectures.

    Args:
        names: The architectures.
        options: The settings by name.
        settings: Returns the settings of an architecture.

    Raises:
        InputError: If a setting belongs to none of them.
    """
    if isinstance(names, str):
        raise InputError(f"`names` must be a list of names. Received: {names!r}")
    allowed = set().union(*map(settings, names))
    wrong = ", ".join(f"--{option}={options[option]}" for option in sorted({*options} - allowed))
    if wrong:
        raise InputError(
            f"{wrong}: --arch={' and '.join(names)} takes "
            f"{', '.join(sorted(allowed)) or 'no such options'}"
        )


@flag_names.as_arguments(arch="name")
def check_extent(name: str, **options: Any) -> None:
    """Checks that a network is not too deep to build, nor too large for this machine.

    Nothing is built: `extent` of a family returns the number of layers, and a lower bound of the
    number of parameters. Custom networks are not checked.

    Args:
        name: A full name.
        **options: Settings besides the name, as for `build`.

    Raises:
        InputError: It has too many layers, or its weights and gradients exceed the memory; or an
            option is out of range.
    """
    if ":" in name:
        return
    family = family_of(name)
    layers, parameters = family.extent(**family.parse(name), **options)
    if layers > _MOST_LAYERS:
        raise InputError(
            f"--arch={name} has {layers:,} layers; networks of more than {_MOST_LAYERS:,} are not "
            "built. Choose a smaller depth"
        )
    needed, memory = parameters * 2 * 4, hardware.memory()
    if memory is not None and needed > memory:
        raise InputError(
            f"--arch={name} needs more than {needed / 2**30:,.0f} GiB for its weights and "
            f"gradients, but this machine has {memory / 2**30:,.1f} GiB. Choose a smaller network"
        )


@contextlib.contextmanager
def named(flag: str) -> Iterator[None]:
    """Names a flag in the errors of a network, which name --arch.

    Args:
        flag: "arch" or "student_arch".
    """
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace("--arch", f"--{flag}")) from error


def chosen(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the options that are set: None and zero mean off.

    Raises:
        InputError: One is of the wrong type, or out of range.
    """
    for option, value in options.items():
        if value is not None:
            _check_option(option, value)
    return {option: value for option, value in options.items() if value or value is False}


def _check_option(option: str, value: Any) -> None:
    if option in _SWITCHES:
        check_flag(option, value)
    if option in _NUMBERS and not is_number(value):
        raise InputError(f"`{option}` must be a number. Received: {value!r}")
    if option in _TEXTS and not isinstance(value, (str, os.PathLike)):
        raise InputError(f"`{option}` must be a text. Received: {value!r}")
    if option == "dropout" and not 0 <= value < 1:
        raise InputError(f"--dropout={value}: the dropout rate must be at least 0 and below 1")
    if option == "backbone_learning_rate" and not 0 <= value < math.inf:
        raise InputError(f"--backbone_learning_rate={value} must be a finite number of at least 0")


def family_of(name: str) -> ModuleType:
    """Returns the module of the family of a name.

    Raises:
        InputError: There is none.
    """
    name = name.lower()
    family = next((known for known in FAMILIES if f"{name}-".startswith(f"{known}-")), None)
    if family is None:
        family, dash, rest = name.partition("-")
        close = difflib.get_close_matches(family, FAMILIES, n=1, cutoff=0.5)
        forms = ", ".join(importlib.import_module(module).FORM for module in FAMILIES.values())
        hint = f"; did you mean {close[0]}{dash}{rest}?" if close else ""
        similar = applications.similar(name)
        if similar and not close:
            hint = f"; did you mean keras:{similar[0]}?"
        raise InputError(
            f"--arch={name}: unknown architecture{hint} (there are {forms}, keras:NAME and "
            "kerashub:PRESET for a pretrained backbone, and package.module:function for a custom "
            "network)"
        )
    return importlib.import_module(FAMILIES[family])
