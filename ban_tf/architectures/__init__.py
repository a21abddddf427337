"""Networks by name: builds the Keras model for `wrn-28-10` or `package.module:function`.

A name starts with its family. A family is one module, listed in the table `FAMILIES`, with `FORM`
(the form of its names), `DEFAULT` (the full name for the bare family name), `NAMED` (the settings
in a name), `parse(name)` (the settings of one name, or an InputError), and two functions that take
those settings and its options: `extent` (see `check_extent`) and `build(input_shape, num_classes,
...)`. A family of language models has `TASK = "text"`, one of text classifiers
`TASK = "documents"`, one of networks for tables `TASK = "tables"`, and their `build` takes other
sizes; see `build_language_model`, `build_text_classifier` and `build_table_network`. To add an
architecture, write such a module and add it to the table. Custom networks are in `custom`.

Pretrained backbones, `keras:NAME` and `kerashub:PRESET`, are in `applications` and `backbones`.

Names are checked without importing Keras, so that misspelled ones are reported immediately; family
modules therefore only import it in `build`.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ban_tf.architectures import applications, backbones, custom
from ban_tf.architectures.applications import is_pretrained
from ban_tf.errors import InputError
from ban_tf.system import hardware

if TYPE_CHECKING:
    import keras

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
# What the networks of a kind of data need, for messages.
_NEEDED = {
    "images": "takes images",
    "masks": "is for masks; it needs --dataset=segmentation:FOLDER",
    "text": "is a language model; it needs --dataset=text:PATH",
    "documents": "is for labeled texts; it needs --dataset=documents:FOLDER",
    "tables": "is for tables; it needs --dataset=table:FILE",
}


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
    family = _family(name)
    full = family.DEFAULT if name.lower() in FAMILIES else name.lower()
    family.parse(full)
    return full


def build(
    name: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    per_pixel: bool = False,
    **options: Any,
) -> keras.Model:
    """Builds a fresh network.

    Args:
        name: As for `resolve`.
        input_shape: Height, width and channels of one image.
        num_classes: The number of logits.
        mean: Of each channel of the training images, scaled to 0..1, for a custom function that
            has an argument of this name.
        std: Likewise.
        per_pixel: Whether the network is for segmentation: a family of `TASK` "masks", or a custom
            function.
        **options: Settings besides the name, for example `dropout=0.3`. None or zero means off,
            and is accepted by networks without the setting; see `settings`.

    Returns:
        A model from images `[batch, height, width, channels]` to `[batch, num_classes]`
        float32 logits, or with `per_pixel` to `[batch, height, width, num_classes]`; a custom
        network may return probabilities instead.

    Raises:
        InputError: If the name, the sizes or an option is invalid, or a custom function fails.
    """
    if num_classes < 2 or len(input_shape) != 3 or min(input_shape) < 1:
        raise InputError(
            "input_shape must be (height, width, channels) and num_classes at least 2. "
            f"Received: input_shape={tuple(input_shape)}, num_classes={num_classes}"
        )
    name = resolve(name)
    if not fits(name, "masks" if per_pixel else "images"):
        raise InputError(f"--arch={name} {_NEEDED[task(name)]}")
    options = _chosen(options)
    check_settings([name], options)
    if is_pretrained(name):
        height, width, channels = input_shape
        return backbones.build(name, (height, width, channels), num_classes, **options)
    if ":" in name:
        model = custom.build(name, tuple(input_shape), num_classes, mean, std, per_pixel)
        if options:
            custom.start(model, name, **options)
        return model
    family = _family(name)
    return family.build(tuple(input_shape), num_classes, **family.parse(name), **options)


def pretrained(
    name: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    weights: str | None = None,
    freeze: str = "none",
    backbone_learning_rate: float | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a pretrained backbone with global average pooling and a fresh head.

    The network takes raw images, 0..255: what its backbone needs is done inside. Each call draws
    a new head, so that a function which calls it can be the `build` of `Lineage`.

    Args:
        name: A constructor of `keras.applications`, such as "EfficientNetV2B0", or
            "kerashub:PRESET" with a preset of KerasHub (or its folder).
        input_shape: Height, width and channels of one image; one channel is repeated.
        num_classes: The number of logits.
        weights: "imagenet", "none" for random weights, or the path of a `.keras` or `.weights.h5`
            file of this backbone, whatever head it has. None for those that belong to the name.
        freeze: "backbone" trains the head alone, and batch normalization of the backbone is in
            inference mode; "none" trains all.
        backbone_learning_rate: A multiple of the learning rate for the backbone, for an optimizer
            of `ban_tf.optimizers.make_optimizer`.
        dropout: Dropout before the head.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, num_classes]`.

    Raises:
        InputError: The name is unknown, images of this size do not fit, the weights cannot be
            downloaded, or the file is of another backbone.
    """
    name = resolve(name)
    if not is_pretrained(name):
        raise InputError(
            "`name` must be a constructor of keras.applications or kerashub:PRESET. Received: "
            f"{name!r}"
        )
    if backbones.frozen_epochs(freeze) not in (0, math.inf):
        raise InputError(f"`freeze` must be 'backbone' or 'none'. Received: {freeze!r}")
    options: dict[str, Any] = {"weights": weights, "freeze": freeze, "dropout": dropout}
    options["backbone_learning_rate"] = backbone_learning_rate
    return build(name, input_shape, num_classes, **options)


def build_language_model(
    name: str,
    vocabulary: Sequence[str],
    batch_size: int | None = None,
    steps: int | None = None,
    **options: Any,
) -> keras.Model:
    """Builds a fresh language model.

    Args:
        name: As for `resolve`, of a family of language models.
        vocabulary: The words.
        batch_size: The number of streams of a stateful model; None for a stateless model with
            any batch size.
        steps: Words in a batch, or None for any number.
        **options: As for `build`.

    Returns:
        A model from words, int32 `[batch, steps]`, to float32 logits `[batch, steps, words]`.

    Raises:
        InputError: If the name or an option is invalid.
    """
    name = resolve(name)
    if task(name) != "text":
        raise InputError(
            f"--arch={name} is not a language model; use lstm, cnn-lstm or causal-transformer"
        )
    options = _chosen(options)
    check_settings([name], options)
    family = _family(name)
    sizes = {"batch_size": batch_size, "steps": steps}
    return family.build(vocabulary, **family.parse(name), **sizes, **options)


def build_text_classifier(
    name: str, words: int, length: int, num_classes: int, **options: Any
) -> keras.Model:
    """Builds a fresh text classifier.

    Args:
        name: As for `resolve`, of a family of text classifiers.
        words: The number of different words, with padding (0) and the unknown word (1).
        length: Words of a text.
        num_classes: The number of logits.
        **options: As for `build`.

    Returns:
        A model from words, int32 `[batch, length]`, to float32 logits `[batch, num_classes]`. It
        reads no padding: zeros after the first word.

    Raises:
        InputError: If the name or an option is invalid.
    """
    usual = "is not a text classifier; use bilstm, text-cnn or text-transformer"
    return _built(name, "documents", usual, (words, length, num_classes), options)


def build_table_network(name: str, features: int, units: int, **options: Any) -> keras.Model:
    """Builds a fresh network for tables.

    Args:
        name: As for `resolve`, of a family of networks for tables.
        features: Numbers in a row.
        units: The number of outputs: of classes, or 1 for a number.
        **options: As for `build`.

    Returns:
        A model from float32 `[batch, features]` to float32 outputs `[batch, units]` of a linear
        layer.

    Raises:
        InputError: If the name or an option is invalid.
    """
    usual = "is no network for tables; use mlp or table-resnet"
    return _built(name, "tables", usual, (features, units), options)


def _built(
    name: str, data: str, usual: str, sizes: tuple[int, ...], options: dict[str, Any]
) -> keras.Model:
    """Builds a network for a kind of data; `usual` says which there are."""
    name = resolve(name)
    if task(name) != data:
        raise InputError(f"--arch={name} {usual}")
    options = _chosen(options)
    check_settings([name], options)
    family = _family(name)
    return family.build(*sizes, **family.parse(name), **options)


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
    family = _family(name)
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


def fits(name: str, data: str) -> bool:
    """Returns whether an architecture is made for a kind of data.

    Args:
        name: A full name. That of a custom network does not say whether it is for images or masks.
        data: "images", "masks" or "text".
    """
    own = ":" in name and not is_pretrained(name)
    return data in ("images", "masks") if own else task(name) == data


def task(name: str) -> str:
    """Returns the kind of data of an architecture: images, masks, text, documents or tables."""
    return "images" if ":" in name else getattr(_family(name), "TASK", "images")


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in options.items() if value or value is False}


def shares_ends(name: str) -> bool:
    """Returns whether a student of this name uses the first and last layer of its teacher."""
    return ":" not in name and getattr(_family(name), "SHARES_ENDS", False)


def settings(name: str) -> set[str]:
    """Returns the settings of an architecture besides its name, such as "dropout"."""
    if ":" in name:
        return set(backbones.SETTINGS if is_pretrained(name) else backbones.CUSTOM_SETTINGS)
    family = _family(name)
    parameters = inspect.signature(family.build).parameters
    return {*parameters} - {*_SIZES, *family.NAMED}


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
    allowed = set().union(*map(settings, names))
    wrong = ", ".join(f"--{option}={options[option]}" for option in sorted({*options} - allowed))
    if wrong:
        raise InputError(
            f"{wrong}: --arch={' and '.join(names)} takes "
            f"{', '.join(sorted(allowed)) or 'no such options'}"
        )


def count_parameters(name: str, *sizes: Any, **options: Any) -> tuple[int, int]:
    """Counts the parameters of a network without allocating them.

    Args:
        name: As for `resolve`.
        *sizes: Input shape and number of classes, a vocabulary, or what a builder takes.
        **options: As for `build`.

    Returns:
        The number of trainable parameters, and of all (including the moving statistics of batch
        normalization).
    """
    import keras

    if is_pretrained(resolve(name)):
        options["weights"] = backbones.NONE
    with keras.StatelessScope():  # variables are not allocated in it
        makers: dict[str, Callable[..., keras.Model]] = {
            "images": build,
            "text": build_language_model,
            "documents": build_text_classifier,
            "tables": build_table_network,
        }
        model = makers[task(resolve(name))](name, *sizes, **options)
        trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        return trained, sum(math.prod(weight.shape) for weight in model.weights)


def _family(name: str) -> ModuleType:
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
