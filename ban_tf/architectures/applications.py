"""Backbones of `keras.applications` and KerasHub by name: `keras:NAME` and `kerashub:PRESET`.

Names are checked without importing either. Every backbone is built without its top, for images of
three channels, together with a layer that prepares raw images (0..255) for it.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import pathlib
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ban_tf.architectures import pixels
from ban_tf.errors import InputError
from ban_tf.system import shown

if TYPE_CHECKING:
    import keras

KERAS, KERAS_HUB = "keras:", "kerashub:"
IMAGENET = "imagenet"
_PATIENCE = 10.0  # seconds without an answer after which a download is given up
# The most that moving means and variances of batch normalization keep in a step. 0.999, as some
# constructors have, is for millions of images: after 1,000 steps, 37 % would be initial values.
MOMENTUM = 0.99

# The pixels that the models of Keras take, by the beginning of their names.
_PIXELS = {
    pixels.RAW: (
        *("ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge"),
        *(f"EfficientNetB{size}" for size in range(8)),
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "L", "M", "S")),
        *("MobileNetV3Large", "MobileNetV3Small"),
    ),
    "minus_one_to_one": (
        *("InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2", "NASNetLarge"),
        *("NASNetMobile", "ResNet101V2", "ResNet152V2", "ResNet50V2", "Xception"),
    ),
    "imagenet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    pixels.CAFFE: ("ResNet101", "ResNet152", "ResNet50", "VGG16", "VGG19"),
}
# The constructors of `keras.applications`, with the pixels that each takes.
APPLICATIONS = {name: form for form, names in _PIXELS.items() for name in names}
_BY_LOWER_CASE = {name.lower(): name for name in APPLICATIONS}


def is_pretrained(name: str) -> bool:
    """Returns whether a name is that of a backbone: `keras:NAME` or `kerashub:PRESET`."""
    return name.startswith((KERAS, KERAS_HUB))


def find(name: str) -> str | None:
    """Returns the full name of a constructor of `keras.applications`, in any case, or None."""
    known = _BY_LOWER_CASE.get(name.lower())
    return known and f"{KERAS}{known}"


def similar(name: str) -> list[str]:
    """Returns the constructors of `keras.applications` with similar names, the closest first."""
    close = difflib.get_close_matches(name.lower(), _BY_LOWER_CASE, n=3, cutoff=0.7)
    return [_BY_LOWER_CASE[match] for match in close]


def resolve(name: str) -> str:
    """Checks the name of a backbone, without building it, and returns it in full.

    Raises:
        InputError: There is no such backbone, or keras-hub is not installed.
    """
    prefix, _, rest = name.partition(":")
    if f"{prefix}:" == KERAS:
        found = find(rest)
        if found is None:
            close = similar(rest)
            listed = ", ".join(close)
            raise InputError(
                f"--arch={name}: keras.applications has no {rest or 'model without a name'}"
                + (
                    f"; did you mean {listed}?"
                    if close
                    else ", but EfficientNetV2B0, MobileNetV2, ResNet50V2 and others"
                )
            )
        return found
    if not rest:
        raise InputError(f"--arch={name}: name a preset, as in kerashub:resnet_18_imagenet")
    if importlib.util.find_spec("keras_hub") is None:
        raise InputError(
            f"--arch={name}: keras-hub is not installed; install it with pip install keras-hub, or "
            "choose a backbone of Keras, such as keras:EfficientNetV2B0"
        )
    return name


def backbone(
    name: str, input_shape: tuple[int, int, int], *, download: bool
) -> tuple[keras.Model, Callable[[Any], Any]]:
    """Builds a backbone.

    Args:
        name: As `resolve` returned it.
        input_shape: Height, width and three channels.
        download: Whether it has the weights that belong to its name (of ImageNet, or the preset's)
            or random ones.

    Returns:
        The backbone, and a function that prepares raw images for it.

    Raises:
        InputError: It cannot be built for images of this size, or its weights cannot be had.
    """
    kind, _, rest = name.partition(":")
    if f"{kind}:" == KERAS:
        return _of_keras(name, rest, input_shape, download)
    return _of_keras_hub(name, rest, input_shape, download)


def _of_keras(
    name: str, rest: str, input_shape: tuple[int, int, int], download: bool
) -> tuple[keras.Model, Callable[[Any], Any]]:
    import keras

    constructor = getattr(keras.applications, rest, None)
    if constructor is None:
        raise InputError(f"--arch={name}: Keras {keras.__version__} has no {rest}")
    weights = IMAGENET if download else None
    model = _built(
        name,
        lambda: constructor(include_top=False, weights=weights, input_shape=input_shape),
        pathlib.Path(os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras")) / "models",
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, MOMENTUM)
    form = APPLICATIONS[rest]
    if form == pixels.RAW:
        return model, lambda images: images
    raw, own = (pixels.described(kind, [0.0] * 3, [1.0] * 3) for kind in (pixels.RAW, form))
    return model, lambda images: pixels.converted(images, raw, own)


def _of_keras_hub(
    name: str, preset: str, input_shape: tuple[int, int, int], download: bool
) -> tuple[keras.Model, Callable[[Any], Any]]:
    import keras
    import keras_hub

    kinds = keras_hub.models.Backbone
    local = pathlib.Path(preset).is_dir()
    if not local and "://" not in preset and preset not in kinds.presets:
        close = difflib.get_close_matches(preset, kinds.presets, n=3)
        raise InputError(
            f"--arch={name}: KerasHub has no preset {preset}, and there is no such folder"
            + (f"; did you mean {', '.join(close)}?" if close else "")
        )
    model = _built(
        name,
        lambda: kinds.from_preset(preset, load_weights=download, image_shape=input_shape),
        pathlib.Path(preset) if local else None,
    )
    try:
        converter = keras_hub.layers.ImageConverter.from_preset(preset)
        scale, offset = converter.scale, converter.offset
    except (ValueError, FileNotFoundError):  # a preset of a backbone alone
        scale, offset = 1 / 255, 0.0
    rescaling = {"scale": scale or 1.0, "offset": offset or 0.0, "dtype": "float32"}
    return model, keras.layers.Rescaling(**rescaling, name="pixels")


def _built(name: str, build: Callable[[], Any], cache: pathlib.Path | None) -> keras.Model:
    """Calls a constructor; what it raises becomes a sentence."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        return build()
    except InputError:
        raise
    except Exception as error:  # Keras, Kaggle and Hugging Face raise many kinds
        address = re.search(r"https?://\S+?([^/\s]+\.h5)", str(error))
        if address:
            raise InputError(
                f"--arch={name}: its weights could not be downloaded; with a network, or with the "
                f"file {address[1]} (in {cache}, or as --weights=FILE), they can. --weights=none "
                "starts from random weights"
            ) from error
        if isinstance(error, OSError) and cache is None:
            raise InputError(
                f"--arch={name}: the preset could not be downloaded; without a network, give the "
                "folder of a preset, as kerashub:FOLDER"
            ) from error
        raise InputError(f"--arch={name} cannot be built: {shown.first_line(error)}") from error
    finally:
        socket.setdefaulttimeout(before)
