"""Puts the preprocessor of a model, such as that of a task of KerasHub, inside as stock layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ban_tf.compat import preparation
from ban_tf.errors import InputError

if TYPE_CHECKING:
    import keras

_PROBED = 2  # images by which the layers are compared with the preprocessor


def inside(model: keras.Model, input_shape: Sequence[int | None]) -> keras.Model:
    """Returns a model from raw images to what a model with a preprocessor predicts for them.

    Args:
        model: A model with a `preprocessor` whose `image_converter` resizes and rescales.
        input_shape: Height, width and channels of the images (0..255); one channel becomes as many
            as the model takes. A side of None varies.

    Returns:
        A model in inference mode; the given one if it has no preprocessor.

    Raises:
        InputError: The preprocessor does something else, or takes other images.
    """
    import keras

    prepare = preparation.of(model)
    if prepare is None:
        return model
    wanted = tuple(getattr(model, "input_shape", None) or ())
    channels, given = wanted[-1] if len(wanted) == 4 else None, input_shape[-1] or 0
    converter = getattr(model.preprocessor, "image_converter", None)
    if converter is None or channels is None or given not in (1, channels):
        raise InputError(
            f"`teacher` {model.name!r} prepares its input with {type(model.preprocessor).__name__},"
            f" which is not for images of shape {tuple(input_shape)}; set its `preprocessor` to "
            "None if it takes such images itself, or record its outputs with ban_tf.record."
        )
    images = keras.Input(tuple(input_shape), name="images")
    seen = images
    if given != channels:
        seen = keras.layers.Concatenate(dtype="float32", name="channels")([seen] * channels)
    if converter.image_size is not None:
        settings = {**converter.resizing.get_config(), "dtype": "float32", "name": "teacher_size"}
        seen = keras.layers.Resizing.from_config(settings)(seen)
    scale, offset = (
        default if value is None else np.asarray(value, np.float64).tolist()
        for value, default in ((converter.scale, 1.0), (converter.offset, 0.0))
    )
    seen = keras.layers.Rescaling(scale, offset, dtype="float32", name="pixels")(seen)
    sides = [side or 32 for side in input_shape[:2]]
    probe = np.random.default_rng(0).uniform(0, 255, (_PROBED, *sides, given))
    probe = probe.astype("float32")
    ours = keras.ops.convert_to_numpy(keras.Model(images, seen)(probe))
    theirs = keras.ops.convert_to_numpy(prepare(np.repeat(probe, channels // given, axis=-1)))
    if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-3, atol=1e-2):
        raise InputError(
            f"`teacher` {model.name!r} prepares images with {type(converter).__name__} otherwise "
            "than by resizing and rescaling; record its outputs with ban_tf.record."
        )
    # The network alone, without its preprocessor and what it was compiled with.
    network = keras.Model(model.inputs, model.outputs, name=model.name)
    # Explicit, since a layer that resizes turns the mode of all later layers to training.
    outputs = network(seen, training=False)
    return keras.Model(images, outputs, name=f"{model.name}_of_raw_images")
