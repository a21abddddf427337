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
    model: keras.Model, own: Pixels, given: Pixels, input_shape: Sequence[int | None]
) -> keras.Model:
    """Returns a model of stock Keras layers that takes images of another size and form.

    Args:
        model: A model of one input, images `[batch, height, width, channels]` of the form `own`.
        own: As from `pixels.described`, with a number for each channel or one for all.
        given: The form that the returned model takes, likewise.
        input_shape: Height, width and channels that it takes; None for sides that vary.

    Returns:
        The model itself if it takes the same. One of another size or number of channels is always
        in inference mode.

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
    if _same_size(wanted[1:], input_shape) and wanted[-1] == input_shape[-1]:
        return taking(model, own, given)
    prepare = preparing(wanted[1:], own, given, input_shape)
    assert prepare is not None
    images = keras.Input(tuple(input_shape), name="images")
    # Explicit, since a layer that resizes turns the mode of all later layers to training.
    outputs = model(prepare(images), training=False)
    return keras.Model(images, outputs, name=f"{model.name}_with_pixels")


def preparing(
    shape: Sequence[int | None], own: Pixels, given: Pixels, input_shape: Sequence[int | None]
) -> keras.Model | None:
    """Returns a model from images to those of another size and form; None if they are the same.

    Images are resized bilinearly, with antialiasing; those of one channel get equal channels.

    Args:
        shape: Height, width and channels that it returns; a height or width of None is kept.
        own: The form that it returns, as for `adapted`.
        given: The form that it takes.
        input_shape: Height, width and channels that it takes; None for sides that vary.

    Raises:
        InputError: The numbers of channels differ.
    """
    import keras

    channels = shape[-1]
    assert channels is not None
    if input_shape[-1] not in (1, channels):
        raise InputError(
            f"`teacher` takes images of {channels} channels, but they have {input_shape[-1]}."
        )
    mean, std, own_mean, own_std = (_by_channel(part, channels) for part in (*given[:2], *own[:2]))
    same_pixels = not own.blue_first and all(
        np.allclose(first, second, rtol=1e-6)
        for first, second in ((mean, own_mean), (std, own_std))
    )
    same_size = _same_size(shape, input_shape)
    if same_size and same_pixels and input_shape[-1] == channels:
        return None
    images = keras.Input(tuple(input_shape), name="images")
    seen = images
    if not same_size:
        sides = zip(shape[:2], input_shape[:2], strict=True)
        height, width = (side or other for side, other in sides)
        seen = keras.layers.Resizing(
            height, width, antialias=True, dtype="float32", name="teacher_size"
        )(seen)
    if input_shape[-1] != channels:
        seen = keras.layers.Concatenate(dtype="float32", name="channels")([seen] * channels)
    if not same_pixels:
        seen = converted(seen, Pixels(mean, std), Pixels(own_mean, own_std, own.blue_first))
    return keras.Model(images, seen, name="teacher_images")


def _same_size(shape: Sequence[int | None], input_shape: Sequence[int | None]) -> bool:
    sides = list(zip(shape, input_shape, strict=False))[:2]
    return all(side in (None, other) for side, other in sides)


def _by_channel(values: Sequence[float], channels: int) -> np.ndarray:
    numbers = np.asarray(values, np.float64)
    if numbers.size not in (1, channels):
        raise InputError(
            f"The pixels of `teacher` have {numbers.size} channels, but its images have {channels}."
        )
    return np.broadcast_to(numbers, (channels,))
