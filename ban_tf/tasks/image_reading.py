"""The images that finished runs are applied to: arrays, or files, which are read as in training."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ban_tf.datasets import image_files, resizing
from ban_tf.errors import InputError
from ban_tf.runs import reading
from ban_tf.tasks import image_paths

_FILES = 200  # that are in memory at a time


def as_images(images: Any, facts: reading.DataFacts) -> np.ndarray:
    """Returns images as the models of a run take them, before they are normalized.

    Args:
        images: uint8 `[images, height, width, channels]`, an array, tensor or list; or paths.
        facts: The data of the run.

    Raises:
        InputError: A file is not an image, an array does not fit, or there is none.
    """
    try:
        given = np.asarray(images)
    except ValueError:  # images of several shapes
        given = np.empty(0, object)
    paths = given.tolist() if given.ndim == 1 else []
    if paths and all(isinstance(path, (str, os.PathLike)) for path in paths):
        return np.stack([read_image(path, facts.input_shape, facts.resize) for path in paths])
    integers = isinstance(images, list) and given.dtype == int and given.size
    if integers and given.min() >= 0 and given.max() <= 255:  # those of Python have no size
        given = given.astype(np.uint8)
    if given.dtype != np.uint8 or given.shape[1:] != facts.input_shape or not len(given):
        received = type(images).__name__
        if given.dtype != object:
            received = f"{given.dtype} of shape {given.shape}"
        raise InputError(
            f"`inputs` must be uint8 of shape {('images', *facts.input_shape)}, or a list of "
            f"paths, and at least one. Received: {received}"
        )
    return given


def predicted_files(
    names: Sequence[str],
    facts: reading.DataFacts,
    predict: Callable[[np.ndarray], np.ndarray],
    bad: list[str],
) -> Iterator[tuple[str, Any]]:
    """Yields each image file that can be read, and what is predicted for it.

    Args:
        names: Paths of images or of folders, and patterns; see `image_paths.expand`.
        facts: The data of the run.
        predict: Returns predictions `[images, ...]` of images as of `read_files`.
        bad: To which a sentence on each other file is added.
    """
    files, missing = image_paths.expand(names)
    bad += missing
    for part in read_files(files, facts):
        bad += part.bad
        if part.indices:
            yield from zip((files[i] for i in part.indices), predict(part.images), strict=True)


class ReadFiles(NamedTuple):
    """Images of some files.

    Attributes:
        indices: The indices of the files that can be read.
        images: Their images, uint8 `[indices, height, width, channels]`.
        bad: A sentence on each of the others.
    """

    indices: list[int]
    images: np.ndarray
    bad: list[str]


def read_files(files: Sequence[str], facts: reading.DataFacts) -> Iterator[ReadFiles]:
    """Reads files, a part of them at a time."""
    for start in range(0, len(files), _FILES):
        indices, images, bad = [], [], []
        for index, path in enumerate(files[start : start + _FILES], start):
            try:
                images.append(read_image(path, facts.input_shape, facts.resize))
                indices.append(index)
            except InputError as error:
                bad.append(str(error))
        yield ReadFiles(indices, np.stack(images) if images else np.empty(0, np.uint8), bad)


def read_image(
    path: str | pathlib.Path, shape: tuple[int, int, int], resize: str = "stretch"
) -> np.ndarray:
    """Reads an image, upright and without transparency, uint8 `[height, width, channels]`.

    Args:
        path: The file.
        shape: Height, width and channels.
        resize: How it is brought to this size; see `datasets.resizing`.

    Raises:
        InputError: The file does not exist, or is not an image.
    """
    height, width, channels = shape
    if channels not in (1, 3):
        raise InputError(f"Images of {channels} channels cannot be read from files.")
    image = image_files.open_image(path, (height, width))
    return resizing.to_array(image, (height, width), resize, channels)


def channels_of(facts: reading.DataFacts) -> int | None:
    """Returns the channels to which images can be converted."""
    return facts.input_shape[-1] if facts.input_shape[-1] in (1, 3) else None
