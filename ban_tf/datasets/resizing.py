"""Brings images to one size: the same way for training, testing, prediction and export.

The arithmetic is that of `keras.layers.Resizing`, with which exported models resize. A smaller
image is interpolated from all pixels (antialiasing), bilinearly; from those that are decoded of a
large JPEG, see `image_files.open_image`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ban_tf.errors import InputError
from ban_tf.system import hardware

if TYPE_CHECKING:
    from PIL import Image

METHODS = ("crop", "pad", "stretch")
BACKGROUND = "white"  # of padding, and where an image is transparent
LARGEST = 2**14  # pixels of height and width
_FILL = 255  # white; an integer, for Keras pads before it converts to float


def parse(text: str) -> tuple[int, int]:
    """Returns the height and width that a value such as "224" or "192x256" of a flag names.

    Raises:
        InputError: It is not a size, or out of range.
    """
    found = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", text)
    size = (0, 0) if found is None else (int(found[1]), int(found[2] or found[1]))
    if not all(1 <= side <= LARGEST for side in size):
        raise InputError(
            f"--image_size={text[:40]} must be a number of pixels such as 224, or a height and a "
            f"width such as 192x256, each between 1 and {LARGEST}."
        )
    return size


def fit(
    image: Image.Image, size: tuple[int, int], method: str, nearest: bool = False
) -> Image.Image:
    """Returns an image at a size.

    Args:
        image: Of mode L or RGB.
        size: Height and width.
        method: "crop" scales the image until it covers the size, and cuts the middle out; "pad"
            scales it until it fits, and pads it with `BACKGROUND` on two sides; "stretch" does not
            keep the ratio of height to width.
        nearest: Whether a pixel is the nearest one, as in masks, instead of interpolated.
    """
    from PIL.Image import Resampling

    height, width = size
    resample = Resampling.NEAREST if nearest else Resampling.BILINEAR
    if image.size == (width, height):
        return image
    if method == "crop":
        # First: Pillow's own `box` would mix in pixels beyond it.
        image = image.crop(middle(image.height, image.width, height, width))
    elif method == "pad":
        image = _padded(image, height, width, resample)
    return image.resize((width, height), resample)


def to_array(image: Image.Image, size: tuple[int, int], method: str, channels: int) -> np.ndarray:
    """Returns an image at a size, uint8 `[height, width, channels]`.

    Args:
        image: Of mode L or RGB.
        size: Height and width.
        method: As for `fit`.
        channels: 1 or 3.
    """
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:  # `convert` would copy the image
        image = image.convert(mode)
    shown = fit(image, size, method)
    return np.asarray(shown, dtype=np.uint8).reshape(*size, channels)


def fit_arrays(images: np.ndarray, size: tuple[int, int], method: str, channels: int) -> np.ndarray:
    """Returns images at a size, uint8 `[images, height, width, channels]`.

    Args:
        images: uint8 `[images, height, width, 1 or 3]`.
        size: Height and width.
        method: As for `fit`.
        channels: 1 or 3.

    Raises:
        InputError: The machine has too little memory.
    """
    from PIL import Image

    shape = (len(images), *size, channels)
    if images.shape == shape:
        return images
    hardware.check_memory(
        2.0 * np.prod(shape, dtype=float),
        f"--image_size={size[0]}x{size[1]}",
        f"{len(images)} resized images and a copy of them",
    )
    found = np.empty(shape, np.uint8)
    for row, pixels in enumerate(images):
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        found[row] = to_array(image, size, method, channels)
    return found


def layer(size: tuple[int, int], method: str) -> Any:
    """Returns a Keras layer that brings images of any size to a size, in 0..255.

    It differs from `fit` by rounding only: by less than two of 255.
    """
    import keras

    return keras.layers.Resizing(
        *size,
        interpolation="bilinear",
        antialias=True,
        crop_to_aspect_ratio=method == "crop",
        pad_to_aspect_ratio=method == "pad",
        fill_value=_FILL,
        dtype="float32",
        name="resize",
    )


def middle(rows: int, columns: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Returns the largest box in the middle of an image that has the ratio of a size.

    Args:
        rows: The height of the image.
        columns: Its width.
        height: That of the size.
        width: Likewise.

    Returns:
        Its left, upper, right and lower end.
    """
    crop_rows = max(1, min(rows, columns * height // width))
    crop_columns = max(1, min(columns, rows * width // height))
    top, left = (rows - crop_rows) // 2, (columns - crop_columns) // 2
    return left, top, left + crop_columns, top + crop_rows


def padding(rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """Returns how many rows above and below an image, and columns beside it, give it a ratio.

    Args:
        rows: The height of the image.
        columns: Its width.
        height: That of a size, whose ratio it gets.
        width: Likewise.
    """
    above = (max(rows, columns * height // width) - rows) // 2
    beside = (max(columns, rows * width // height) - columns) // 2
    return above, beside


def _padded(image: Image.Image, height: int, width: int, resample: Any) -> Image.Image:
    """Pads an image to the ratio of a size.

    The side without padding is scaled first, so that a long, narrow image needs little memory.
    """
    from PIL import Image

    above, beside = padding(image.height, image.width, height, width)
    scaled = (width if above else image.width, height if beside else image.height)
    image = image.resize(scaled, resample)
    padded = Image.new(image.mode, (image.width + 2 * beside, image.height + 2 * above), BACKGROUND)
    padded.paste(image, (beside, above))
    return padded
