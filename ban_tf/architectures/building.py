"""Builds networks by their names, one function for each kind of data."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ban_tf.architectures import backbones, custom
from ban_tf.architectures.applications import is_pretrained
from ban_tf.architectures.names import check_settings, chosen, family_of, fits, resolve, task
from ban_tf.errors import InputError
from ban_tf.system import flag_names
from ban_tf.system.arguments import check_count, is_integer

if TYPE_CHECKING:
    import keras

# What the networks of a kind of data need, for messages.
_NEEDED = {
    "images": "takes images",
    "masks": "is for masks; build it with per_pixel=True",
    "text": "is a language model; build_language_model builds it",
    "documents": "is for labeled texts; build_text_classifier builds it",
    "tables": "is for tables; build_table_network builds it",
}


@flag_names.as_arguments(arch="name")
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
        num_classes: The number of logits; 1 for a number to predict.
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
    sizes = list(input_shape) if isinstance(input_shape, Iterable) else []
    counts = [is_integer(number) and number >= 1 for number in (*sizes, num_classes)]
    if len(sizes) != 3 or not all(counts):
        raise InputError(
            "`input_shape` must be (height, width, channels) and `num_classes` at least 1. "
            f"Received: input_shape={input_shape!r}, num_classes={num_classes!r}"
        )
    height, width, channels = map(int, sizes)
    input_shape, num_classes = (height, width, channels), int(num_classes)
    name = resolve(name)
    if not fits(name, "masks" if per_pixel else "images"):
        raise InputError(f"--arch={name} {_NEEDED[task(name)]}")
    options = chosen(options)
    check_settings([name], options)
    if is_pretrained(name):
        height, width, channels = input_shape
        return backbones.build(name, (height, width, channels), num_classes, **options)
    if ":" in name:
        model = custom.build(name, tuple(input_shape), num_classes, mean, std, per_pixel)
        if options:
            custom.start(model, name, **options)
        return model
    family = family_of(name)
    return family.build(tuple(input_shape), num_classes, **family.parse(name), **options)


@flag_names.as_arguments(arch="name")
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
            file of this backbone, with any head. None for those that belong to the name.
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


@flag_names.as_arguments(arch="name")
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
        InputError: If the name, the vocabulary, a size or an option is invalid.
    """
    name = resolve(name)
    if task(name) != "text":
        raise InputError(
            f"--arch={name} is not a language model; use lstm, cnn-lstm or causal-transformer"
        )
    options = chosen(options)
    check_settings([name], options)
    listed = not isinstance(vocabulary, str) and isinstance(vocabulary, Sequence)
    if not listed or not vocabulary or not all(isinstance(word, str) for word in vocabulary):
        raise InputError(f"`vocabulary` must be a list of words. Received: {vocabulary!r:.80}")
    family = family_of(name)
    sizes = {
        size: None if number is None else check_count(size, number, least=1)
        for size, number in (("batch_size", batch_size), ("steps", steps))
    }
    return family.build(vocabulary, **family.parse(name), **sizes, **options)


@flag_names.as_arguments(arch="name")
def build_text_classifier(
    name: str, words: int, length: int, num_classes: int, **options: Any
) -> keras.Model:
    """Builds a fresh text classifier.

    Args:
        name: As for `resolve`, of a family of text classifiers, or a custom function.
        words: The number of different words, with padding (0) and the unknown word (1).
        length: Words of a text.
        num_classes: The number of logits.
        **options: As for `build`.

    Returns:
        A model from words, int32 `[batch, length]`, to float32 logits `[batch, num_classes]`. It
        reads no padding: zeros after the first word.

    Raises:
        InputError: If the name, a size or an option is invalid, or a custom function fails.
    """
    usual = "is not a text classifier; use bilstm, text-cnn or text-transformer"
    sizes = {"words": words, "length": length, "num_classes": num_classes}
    return _built(name, "documents", usual, sizes, options)


@flag_names.as_arguments(arch="name")
def build_table_network(name: str, features: int, units: int, **options: Any) -> keras.Model:
    """Builds a fresh network for tables.

    Args:
        name: As for `resolve`, of a family of networks for tables, or a custom function.
        features: Numbers in a row.
        units: The number of outputs: of classes, or 1 for a number.
        **options: As for `build`.

    Returns:
        A model from float32 `[batch, features]` to float32 outputs `[batch, units]` of a linear
        layer.

    Raises:
        InputError: If the name, a size or an option is invalid, or a custom function fails.
    """
    usual = "is no network for tables; use mlp or table-resnet"
    return _built(name, "tables", usual, {"features": features, "units": units}, options)


def _built(
    name: str, data: str, usual: str, sizes: dict[str, int], options: dict[str, Any]
) -> keras.Model:
    """Builds a network for a kind of data; `usual` is why others are refused."""
    name = resolve(name)
    if not fits(name, data):
        raise InputError(f"--arch={name} {usual}")
    options = chosen(options)
    check_settings([name], options)
    sizes = {size: check_count(size, number, least=1) for size, number in sizes.items()}
    if ":" in name:
        model = custom.build_of_sizes(name, sizes, data)
        if options:
            custom.start(model, name, **options)
        return model
    family = family_of(name)
    return family.build(*sizes.values(), **family.parse(name), **options)


@flag_names.as_arguments(arch="name")
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
            "masks": functools.partial(build, per_pixel=True),
            "text": build_language_model,
            "documents": build_text_classifier,
            "tables": build_table_network,
        }
        model = makers[task(resolve(name))](name, *sizes, **options)
        trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        return trained, sum(math.prod(weight.shape) for weight in model.weights)
