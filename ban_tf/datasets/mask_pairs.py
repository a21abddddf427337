"""Images and the masks that belong to them, as files or as contents of files, read into arrays."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import logging

from ban_tf.datasets import decoding, folder_hints, image_files, masks, resizing
from ban_tf.errors import InputError
from ban_tf.system import bars, hardware, shown

if TYPE_CHECKING:
    from PIL import Image

CLASSES = "classes.txt"
_FEW = 300  # images for which no progress is shown


class Pair(NamedTuple):
    """An image and its mask.

    Attributes:
        name: Their name: of files the path below `images` and `masks`, without a suffix.
        image: The file of the image, or its content.
        mask: That of the mask.
    """

    name: str
    image: pathlib.Path | bytes
    mask: pathlib.Path | bytes

    def named(self, what: str) -> str:
        """Returns the file of the image or the mask, or words for it."""
        source = self.image if what == "image" else self.mask
        return f"The {what} of {self.name}" if isinstance(source, bytes) else str(source)

    def opened(self, void_label: int | None) -> tuple[Image.Image, Image.Image]:
        """Reads both; see `image_files.decode` and `masks.read`.

        Raises:
            InputError: One cannot be read, or they differ in size.
        """
        image = image_files.decode(_stream(self.image), self.named("image"))
        mask = masks.read(_stream(self.mask), void_label, self.named("mask"))
        if image.size != mask.size:
            of_image = self.image.name if isinstance(self.image, pathlib.Path) else "its image"
            raise InputError(
                f"{self.named('mask')} has {mask.height}x{mask.width} pixels, but {of_image} has "
                f"{image.height}x{image.width}."
            )
        return image, mask


def _stream(source: pathlib.Path | bytes) -> pathlib.Path | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def check_memory(dataset: str, count: int, target: decoding.Target) -> None:
    """Checks that images and masks of a size fit into memory.

    Raises:
        InputError: They do not.
    """
    hardware.check_memory(
        float(count) * np.prod(target.size) * (target.channels + 1),
        f"--dataset={dataset}",
        f"{count:,} images and masks of {target.size[0]}x{target.size[1]} pixels",
    )


def decode(
    dataset: str,
    pairs: Sequence[Pair],
    target: decoding.Target,
    void_label: int | None,
    classes: int | None,
    show_progress: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads images and their masks.

    Args:
        dataset: The value of `--dataset`, for messages.
        pairs: The images and masks.
        target: The size and channels to which they are brought.
        void_label: See `masks.read`.
        classes: The number of classes, if it is known.
        show_progress: Whether to show the progress of many.

    Returns:
        Images uint8 `[pairs, height, width, channels]`, masks uint8 `[pairs, height, width]`, and
        in how many masks each value occurs, `[256]`.

    Raises:
        InputError: Some cannot be read, or do not fit together; they are named.
    """
    images = np.zeros((len(pairs), *target.size, target.channels), np.uint8)
    labels = np.zeros((len(pairs), *target.size), np.uint8)
    occurs = np.zeros((len(pairs), 256), bool)

    def read(row: int) -> str | None:
        try:
            image, mask = pairs[row].opened(void_label)
            occurs[row] = np.array(mask.histogram()) > 0
            largest = np.flatnonzero(occurs[row, : masks.VOID]).max(initial=0)
            if classes is not None and largest >= classes:
                raise InputError(
                    f"{pairs[row].named('mask')} has the class index {largest}, but there are "
                    f"{classes} classes, 0 to {classes - 1}."
                )
        except InputError as error:
            return shown.escaped(error)
        images[row] = resizing.to_array(image, *target)
        labels[row] = masks.at_size(mask, target.size, target.method)
        return None

    bad: list[str] = []
    show = show_progress and len(pairs) > _FEW
    with decoding.threads() as pool, bars.bar("reading images", len(pairs), show) as advance:
        for sentence in pool.map(read, range(len(pairs))):
            bad += [sentence] if sentence else []
            advance(1)
    if bad:
        raise InputError(
            f"--dataset={dataset} has images or masks that cannot be used ({len(bad)}): "
            f"{folder_hints.few(bad)}"
        )
    return images, labels, occurs.sum(axis=0)


def numbered(dataset: str, occurs: np.ndarray) -> list[str]:
    """Returns names for the classes that masks have, if nobody has named them.

    Args:
        dataset: The value of `--dataset`, for messages.
        occurs: In how many masks each value occurs, `[256]`.

    Raises:
        InputError: There are fewer than two classes.
    """
    found = np.flatnonzero(occurs[: masks.VOID])
    if len(found) < 2:
        only = f"class {found[0]} alone" if len(found) else "no class"
        raise InputError(
            f"--dataset={dataset} has {only} in its masks, beside pixels without a class; at least "
            "two classes are needed, as pixels of 0 and 1."
        )
    unused = int(found[-1]) + 1 - len(found)
    if unused:
        logging.warning(
            "--dataset=%s: masks have class indices up to %d, %d of which never occur; are pixels "
            "indices of classes? %s would name the classes.",
            dataset,
            found[-1],
            unused,
            CLASSES,
        )
    return [f"class {number}" for number in range(int(found[-1]) + 1)]
