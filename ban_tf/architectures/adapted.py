"""Makes a network take the images of another one: its size, its channels and its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ban_tf.architectures.pixels import Pixels, converted, taking
from ban_tf.errors import InputError

if TYPE_CHECKING:
    import keras


def adapted(
    model: keras.Model, own: Pixels, given: Pixels, input_shape: Sequence[int]
) -> keras.Model:
    """Returns a model of stock Keras layers that takes images of another size and form.

    Images are resized bilinearly, with antialiasing; gray ones become equal channels. A model that
    is resized for is always in inference mode.

    Args:
        model: A model of one input, images `[batch, height, width, channels]` of the form `own`.
        own: As from `pixels.described`.
        given: The form that the returned model takes.
        input_shape: Height, width and channels that it takes.

    Returns:
        The model itself if it takes the same.

    Raises:
        InputError: It takes other numbers of channels, or no images.
    """
    import keras

    wanted = tuple(getattr(model, "input_shape", None) or ())
    if len(wanted) != 4 or wanted[-1] is None:
        raise InputError(
            f"`teacher` {model.name!r} takes inputs of shape {wanted}, which are no images "
            "[batch, height, width, channels]."
        )
    size, channels = wanted[1:3], wanted[-1]
    same_size = all(side in (None, other) for side, other in zip(size, input_shape, strict=False))
    if same_size and channels == input_shape[-1]:
        return taking(model, own, given)
    if input_shape[-1] not in (1, channels):
        raise InputError(
            f"`teacher` {model.name!r} takes images of {channels} channels, but they have "
            f"{input_shape[-1]}."
        )
    images = keras.Input(tuple(input_shape), name="images")
    seen = images
    if not same_size:
        height, width = (side or other for side, other in zip(size, input_shape, strict=False))
        resizing = keras.layers.Resizing(
            height, width, antialias=True, dtype="float32", name="teacher_size"
        )
        seen = resizing(seen)
    if input_shape[-1] != channels:
        seen = keras.layers.Concatenate(dtype="float32", name="channels")([seen] * channels)
    mean, std = (np.broadcast_to(part, (channels,)) for part in (given.mean, given.std))
    # Explicit, since a layer that resizes turns the mode of all later layers to training.
    outputs = model(converted(seen, Pixels(mean, std), own), training=False)
    return keras.Model(images, outputs, name=f"{model.name}_adapted")
