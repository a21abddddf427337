"""Masks: images whose pixels are the indices of classes, as files and at other sizes.

In memory a mask is uint8 `[height, width]`; its pixels without a class are `VOID`, for
any label of such pixels in files. Files are gray, or have a palette; the palette says how they look
and nothing else.
"""

from __future__ import annotations

import colorsys
import io
import pathlib
from typing import IO, TYPE_CHECKING

import numpy as np

from ban_tf.datasets import image_files, resizing
from ban_tf.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

VOID = 255
MOST_CLASSES = 255
_MODES = ("L", "P", "1")
_GOLDEN = 0.618034  # turns of the color wheel between two classes: no two are near each other


def read(
    source: str | pathlib.Path | IO[bytes],
    void_label: int | None = VOID,
    name: str | pathlib.Path | None = None,
) -> Image.Image:
    """Reads a mask.

    Args:
        source: A gray image or one with a palette, whose pixels are the indices of classes: a file
            or a stream.
        void_label: The index of pixels without a class; None if all have one.
        name: The name of a stream, for messages.

    Returns:
        An image of mode L, whose pixels without a class are `VOID`.

    Raises:
        InputError: It does not exist, is not an image, or its pixels are no indices of classes.
    """
    from PIL import Image

    file = name or str(source)
    with image_files.opened(source, file) as image:
        if image.mode not in _MODES:
            raise InputError(
                f"{file} is not a mask of class indices, as its pixels are colors (mode "
                f"{image.mode}); save it as a gray PNG, or as one with a palette."
            )
        found = np.array(image, np.uint8)
    if void_label != VOID:
        if (found == VOID).any():
            raise InputError(
                f"{file} has pixels of {VOID}, which is more than the last class index, "
                f"{MOST_CLASSES - 1}; --void_label={VOID} makes them pixels without a class."
            )
        if void_label is not None:
            found[found == void_label] = VOID
    return Image.fromarray(found)


def at_size(mask: Image.Image, size: tuple[int, int], method: str) -> np.ndarray:
    """Brings a mask to a size as `resizing.fit` does images; padding has no class.

    Args:
        mask: Of mode L.
        size: Height and width.
        method: "crop", "pad" or "stretch".
    """
    # The padding of images is white, which is `VOID` in mode L.
    return np.asarray(resizing.fit(mask, size, method, nearest=True), np.uint8)


def at_original_size(mask: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """Brings the mask of a resized image back to the size of the image.

    Args:
        mask: uint8 `[height, width]`, of an image that was brought to this size by `method`.
        size: Height and width of the image.
        method: "crop", "pad" or "stretch". What "crop" left out has no class.

    Returns:
        uint8 of the shape `size`.
    """
    from PIL import Image

    (rows, columns), (height, width) = size, mask.shape
    image = Image.fromarray(mask)
    if method == "crop":
        left, top, right, bottom = resizing.middle(rows, columns, height, width)
        found = np.full(size, VOID, np.uint8)
        found[top:bottom, left:right] = _nearest(image, (bottom - top, right - left))
        return found
    if method == "stretch":
        return _nearest(image, size)
    above, beside = resizing.padding(rows, columns, height, width)
    whole = _nearest(image, (rows + 2 * above, columns + 2 * beside))
    return whole[above : above + rows, beside : beside + columns]


def _nearest(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    from PIL.Image import Resampling

    return np.asarray(image.resize(size[::-1], Resampling.NEAREST), np.uint8)


def colors(classes: int) -> np.ndarray:
    """Returns a color for each value of a mask, uint8 `[256, 3]`.

    The first class, often the background, is dark gray; pixels without a class are white.

    Args:
        classes: The number of classes.
    """
    found = np.full((256, 3), VOID, np.uint8)
    found[0] = 64
    for number in range(1, min(classes, MOST_CLASSES)):
        level = (0.95, 0.75, 0.55)[number % 3]
        color = colorsys.hsv_to_rgb(number * _GOLDEN % 1.0, 0.65, level)
        found[number] = np.round(255 * np.array(color))
    return found


def to_png(mask: np.ndarray, classes: int) -> bytes:
    """Returns a mask as a PNG with the palette `colors`.

    Args:
        mask: uint8 `[height, width]`.
        classes: The number of classes.
    """
    from PIL import Image

    image = Image.fromarray(mask)  # of mode L, which a palette makes P
    image.putpalette(colors(classes).tobytes())
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return file.getvalue()
