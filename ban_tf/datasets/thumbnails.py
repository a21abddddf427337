"""Thumbnails of images, so that a run and its report stay small."""

from __future__ import annotations

import numpy as np

LARGEST = 160  # pixels of the longer side
_TINY = 64  # pixels of the longer side


def size(height: int, width: int) -> tuple[int, int]:
    """Returns the height and width of the thumbnail of an image; that of a small image is itself.

    Args:
        height: Of the image, in pixels.
        width: Likewise.
    """
    longer = max(height, width)
    if longer <= LARGEST:
        return height, width
    return max(1, height * LARGEST // longer), max(1, width * LARGEST // longer)


def is_tiny(height: int, width: int) -> bool:
    """Returns whether an image is so small that its pixels are shown as squares."""
    return max(height, width) < _TINY


def shrink(images: np.ndarray) -> np.ndarray:
    """Returns thumbnails of images; images that Pillow cannot resize are unchanged.

    Args:
        images: uint8 `[images, height, width, channels]`.

    Returns:
        uint8 `[images, smaller height, smaller width, channels]`.
    """
    from PIL import Image

    count, height, width, channels = images.shape
    smaller = size(height, width)
    if smaller == (height, width) or channels not in (1, 3, 4):
        return images
    thumbnails = np.empty((count, *smaller, channels), np.uint8)
    for image, thumbnail in zip(images, thumbnails, strict=True):
        picture = Image.fromarray(image.squeeze(-1) if channels == 1 else image)
        picture = picture.resize(smaller[::-1], Image.Resampling.LANCZOS)
        thumbnail[:] = np.asarray(picture).reshape(thumbnail.shape)
    return thumbnails
