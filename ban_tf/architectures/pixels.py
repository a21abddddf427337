"""What pixels a network takes: `FORMS`, how to find out, and how to change from one to another.

A form is described by a mean and a standard deviation of each channel, of images scaled to 0..1:
the network takes `(image / 255 - mean) / std`. Networks of this package take images normalized by
the statistics of the training data. A network that prepares images by itself takes raw ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ban_tf.errors import InputError

if TYPE_CHECKING:
    import keras

NORMALIZED, RAW, CAFFE = "normalized", "raw", "caffe"
# What the networks of a run may take; see docs/pretrained.md.
FORMS = (NORMALIZED, RAW, "zero_to_one", "minus_one_to_one", "imagenet")
# A given teacher may also take what Caffe's networks do: 0..255 less a mean, blue first.
TEACHER_FORMS = (*FORMS, CAFFE)


class Pixels(NamedTuple):
    """A form of pixels.

    Attributes:
        mean: Of each channel (or one for all), of images scaled to 0..1.
        std: Likewise.
        blue_first: Whether channels are in the order blue, green, red; as `mean` and `std` then.
    """

    mean: Any
    std: Any
    blue_first: bool = False


_KNOWN = {
    RAW: Pixels([0.0], [1 / 255]),
    "zero_to_one": Pixels([0.0], [1.0]),
    "minus_one_to_one": Pixels([0.5], [0.5]),
    "imagenet": Pixels([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    CAFFE: Pixels(np.array([103.939, 116.779, 123.68]) / 255, [1 / 255] * 3, blue_first=True),
}

# By the names that `keras.applications` gives to its models, where they prepare nothing.
_APPLICATIONS = {
    r"mobilenet(v2)?_\d|resnet(50|101|152)v2$|inception_(v3|resnet_v2)$|xception$|NASNet$": (
        "minus_one_to_one"
    ),
    r"densenet(121|169|201)$": "imagenet",
    r"resnet(50|101|152)$|vgg(16|19)$": CAFFE,
}
# Operations, other than layers, by which a model may prepare its images.
_ARITHMETIC = {"Add", "Divide", "Multiply", "Subtract", "TrueDivide"}


def described(form: str, mean: Sequence[float], std: Sequence[float]) -> Pixels:
    """Returns the numbers of a form, one for each channel.

    Args:
        form: One of `TEACHER_FORMS`.
        mean: Of the channels of the training images, scaled to 0..1: those of "normalized".
        std: Likewise.

    Raises:
        InputError: The form needs three channels.
    """
    pixels = Pixels(mean, std) if form == NORMALIZED else _KNOWN[form]
    if len(pixels.mean) not in (1, len(mean)):
        raise InputError(
            f"{form!r} pixels have three channels, but the images have {len(mean)}; choose another "
            "form."
        )
    own_mean, own_std = (
        np.broadcast_to(np.asarray(part, np.float32), (len(mean),)) for part in pixels[:2]
    )
    return Pixels(own_mean, own_std, pixels.blue_first)


def known(form: str) -> Pixels:
    """Returns the numbers of a form other than "normalized", one for each channel or for all."""
    return _KNOWN[form]


def name_of(mean: Sequence[float], std: Sequence[float]) -> str:
    """Returns the form that a mean and a standard deviation describe."""
    for form in FORMS[1:]:
        known = _KNOWN[form]
        if len(known.mean) in (1, len(mean)) and all(
            np.allclose(part, given, rtol=1e-4)
            for part, given in ((known.mean, mean), (known.std, std))
        ):
            return form
    return NORMALIZED


def of_model(model: keras.Model) -> str:
    """Returns the form of pixels that a model takes, as far as can be seen.

    "raw" if it starts with a Rescaling or Normalization layer (in a nested model, too) or with
    arithmetic; what `preprocess_input` returns if it is, or starts with, a model of
    `keras.applications`; else "normalized".
    """
    return _first_evidence(model) or NORMALIZED


def _first_evidence(model: Any) -> str | None:
    import keras

    known = _of_application(getattr(model, "name", ""))
    for operation in _operations(model):
        if isinstance(operation, (keras.layers.Rescaling, keras.layers.Normalization)):
            return RAW
        if isinstance(operation, keras.Model):
            return _first_evidence(operation) or known
        if not isinstance(operation, keras.Layer):
            if type(operation).__name__ in _ARITHMETIC:
                return RAW
        elif operation.weights:
            return known
    return known


def _operations(model: Any) -> Iterable[Any]:
    """Returns the layers and operations of a model in the order of its graph."""
    import keras

    if isinstance(model, keras.Sequential):
        return model.layers
    operations = getattr(model, "operations", None)
    return operations if operations is not None else getattr(model, "layers", ())


def _of_application(name: str) -> str | None:
    found = (form for pattern, form in _APPLICATIONS.items() if re.match(pattern, name))
    return next(found, None)


def converted(images: Any, given: Pixels, wanted: Pixels, name: str = "pixels") -> Any:
    """Changes images of one form to another, by stock Keras layers.

    Args:
        images: A symbolic tensor `[batch, height, width, channels]`, of the form `given`.
        given: As from `described`, not with blue first.
        wanted: Likewise, in any order of the channels.
        name: The name of the layer.
    """
    import keras

    mean, std = np.asarray(given.mean, np.float64), np.asarray(given.std, np.float64)
    if wanted.blue_first:
        images, mean, std = keras.ops.flip(images, axis=-1), mean[::-1], std[::-1]
    scale = std / np.asarray(wanted.std, np.float64)
    offset = (mean - wanted.mean) / np.asarray(wanted.std, np.float64)
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), dtype="float32", name=name)(
        images
    )


def taking(model: keras.Model, own: Pixels, given: Pixels) -> keras.Model:
    """Returns a model that takes images of another form than a given model.

    Args:
        model: A model of one input, images of the form `own`.
        own: As from `described`.
        given: The form that the returned model takes.

    Returns:
        The model itself if both forms are equal.
    """
    import keras

    same = own.blue_first == given.blue_first and all(
        np.allclose(first, second, rtol=1e-6)
        for first, second in zip(own[:2], given[:2], strict=True)
    )
    if same:
        return model
    images = keras.Input(model.input_shape[1:], name="images")
    prepared = converted(images, given, own)
    return keras.Model(images, model(prepared), name=f"{model.name}_with_pixels")
