"""`PATH/{train,test}/CLASS/*.{png,jpg,jpeg}`: a folder of images.

Names that begin with a dot are ignored. Not supported on purpose: nested folders, transparency,
the orientation in camera metadata, and more than eight bits per channel.
"""

from __future__ import annotations

import collections
import concurrent.futures
import pathlib
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from ban_tf.datasets.image_data import Split
from ban_tf.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg")


def check(path: str) -> tuple[str, ...]:
    """Returns the names of the classes, sorted.

    Raises:
        InputError: The folder has the wrong layout.
    """
    root = pathlib.Path(path).expanduser()
    classes = {}
    for part in ("train", "test"):
        if not (root / part).is_dir():
            raise InputError(
                f"--dataset=folder:{path} has no folder {part}; images are expected in "
                "PATH/train/CLASS and PATH/test/CLASS."
            )
        classes[part] = sorted(
            entry.name
            for entry in (root / part).iterdir()
            if entry.is_dir() and not entry.name.startswith(".")
        )
        for name in classes[part]:
            if not _files(root / part / name):
                raise InputError(f"{root / part / name} holds no .png or .jpg images.")
    if classes["train"] != classes["test"]:
        only = sorted(set(classes["train"]) ^ set(classes["test"]))
        raise InputError(
            f"--dataset=folder:{path} must have the same classes in train and test; only in one of "
            f"them: {', '.join(only)}."
        )
    if len(classes["train"]) < 2:
        raise InputError(
            f"--dataset=folder:{path} has {len(classes['train'])} class(es); at least two are "
            "needed."
        )
    return tuple(classes["train"])


def load(path: str) -> tuple[Split, Split, tuple[str, ...]]:
    """Returns training data, test data and the names of the classes.

    Images of different sizes are resized to the most common size; if all are gray, there is one
    channel, otherwise three.

    Raises:
        InputError: The folder has the wrong layout, or an image cannot be read.
    """
    names, root = check(path), pathlib.Path(path).expanduser()
    images, labels = {}, {}
    for part in ("train", "test"):
        files = [
            (file, label) for label, name in enumerate(names) for file in _files(root / part / name)
        ]
        with concurrent.futures.ThreadPoolExecutor() as threads:
            images[part] = list(threads.map(open_image, [file for file, _ in files]))
        labels[part] = np.array([label for _, label in files], dtype=np.int32)
    every = images["train"] + images["test"]
    sizes = collections.Counter(image.size for image in every)
    size = sizes.most_common(1)[0][0]
    if len(sizes) > 1:
        logging.warning("%s: images of %d sizes are resized to %dx%d.", path, len(sizes), *size)
    mode = "L" if all(image.mode in ("L", "1", "LA") for image in every) else "RGB"
    train, test = (
        Split(_array(images[part], size, mode), labels[part]) for part in ("train", "test")
    )
    return train, test, names


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )


def open_image(file: str | pathlib.Path) -> Image.Image:
    """Reads an image file with Pillow, in its size and mode.

    Raises:
        InputError: It does not exist, is not an image, or has more than eight bits per channel.
    """
    from PIL import Image

    try:
        with Image.open(file) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{file} cannot be read as an image ({error}).") from error
    if image.mode.startswith(("I", "F")):  # Pillow would clip these to white
        raise InputError(
            f"{file} has more than eight bits per channel (mode {image.mode}); save it with eight."
        )
    return image


def _array(images: list, size: tuple[int, int], mode: str) -> np.ndarray:
    from PIL import Image

    arrays = []
    for image in images:
        image = image.convert(mode)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        arrays.append(np.asarray(image, dtype=np.uint8).reshape(size[1], size[0], -1))
    return np.stack(arrays)
