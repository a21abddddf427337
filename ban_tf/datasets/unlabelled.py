"""Images without labels (`--unlabelled`): their files, and which of them a teacher teaches with.

Xie et al., 2020, "Self-training with Noisy Student improves ImageNet classification": images of
which the teacher is not confident are left out, and the classes that it predicts are balanced.
"""

from __future__ import annotations

import collections
import hashlib
import pathlib
from typing import Any, NamedTuple

import numpy as np

from ban_tf.datasets import decoding, image_files
from ban_tf.datasets.image_data import Rows, Split
from ban_tf.errors import InputError

PREFIX = "folder:"
NONE = -1  # the label


class Choice(NamedTuple):
    """The images that a generation learns from.

    Attributes:
        chosen: Their indices, sorted.
        kept: How many of each predicted class they are, `[classes]`.
        dropped: How many of each are left out.
    """

    chosen: np.ndarray
    kept: np.ndarray
    dropped: np.ndarray


def check(name: str) -> pathlib.Path:
    """Returns the folder of `--unlabelled`.

    Raises:
        InputError: It is none.
    """
    folder = pathlib.Path(name.removeprefix(PREFIX))
    if not name.startswith(PREFIX) or not folder.is_dir():
        raise InputError(
            f"--unlabelled must be folder:PATH, with a folder that exists; it is {name}."
        )
    return folder


def load(
    name: str, shape: tuple[int, int, int], resize: str, skip_bad_files: bool = False
) -> Split:
    """Reads all images of a folder and of the folders in it.

    Args:
        name: "folder:PATH".
        shape: Height, width and channels to which they are brought.
        resize: How; see `resizing.fit`.
        skip_bad_files: Leave out files that cannot be read.

    Raises:
        InputError: There are none, or one cannot be read.
    """
    folder = check(name)
    files = image_files.find(folder, collections.Counter())
    names = [file.relative_to(folder).as_posix() for file in files]
    target = decoding.Target(shape[:2], resize, shape[2])
    decoded = decoding.read_files(name, folder, names, files, target, on_disk=False)
    if decoded.bad and not skip_bad_files:
        raise InputError(
            f"--unlabelled={name}: {next(iter(decoded.bad.values()))} Repair or delete it, or "
            "leave out bad files with --skip_bad_files."
        )
    good = np.setdiff1d(np.arange(len(files)), list(decoded.bad))
    if not len(good):
        raise InputError(f"--unlabelled={name} has no image.")
    labels = np.full(len(files), NONE, np.int32)
    every = Split(decoded.images, labels, tuple(names))
    return every if len(good) == len(files) else every.select(good)


def describe(images: Split, spoilt: int) -> list[str]:
    """Returns in a line each how many images there are, and how many are left out.

    Args:
        images: The images.
        spoilt: How many were left out by `without`.
    """
    lines = [f"Unlabelled images: {len(images.labels):,}."]
    if spoilt:
        lines.append(
            "Unlabelled images that are left out, since they are identical to ones of the "
            f"validation or test data: {spoilt:,}."
        )
    return lines


def without(unlabelled: Split, *others: Split) -> Split:
    """Returns the images that are in none of the other parts, by their pixels."""
    known = {_digest(image) for other in others for image in _each(other)}
    fresh = np.array([_digest(image) not in known for image in _each(unlabelled)], bool)
    return unlabelled.select(fresh)


def _each(split: Split) -> Any:
    return (np.asarray(split.images[row : row + 1]) for row in range(len(split.labels)))


def _digest(image: np.ndarray) -> bytes:
    return hashlib.sha1(image.tobytes(), usedforsecurity=False).digest()


def choose(probabilities: np.ndarray, confidence: float, most: int | None) -> Choice:
    """Chooses the images of which the teacher is confident, the most confident of each class.

    Args:
        probabilities: The teacher's, `[images, classes]`.
        confidence: The lowest probability of the likeliest class.
        most: The largest number of images of a predicted class; None for no bound.
    """
    classes = probabilities.shape[1]
    predicted, certain = probabilities.argmax(-1), probabilities.max(-1)
    order = np.argsort(-certain, kind="stable")
    order = order[certain[order] >= confidence]
    chosen = np.sort(
        np.concatenate([order[predicted[order] == label][:most] for label in range(classes)])
    )
    kept = np.bincount(predicted[chosen], minlength=classes)
    return Choice(chosen, kept, np.bincount(predicted, minlength=classes) - kept)


def join(train: Split, unlabelled: Split) -> Split:
    """Returns the training examples, followed by images without labels."""
    labels = np.concatenate([train.labels, unlabelled.labels])
    if train.is_read_by_rows or unlabelled.is_read_by_rows:
        return Split(_Joined(train.images, unlabelled.images), labels)
    return Split(np.concatenate([train.images, unlabelled.images]), labels)


class _Joined(Rows):
    """Images, followed by others."""

    def __init__(self, first: Any, second: Any):
        self._first, self._second = first, second
        self.shape = (len(first) + len(second), *first.shape[1:])
        self.dtype = first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        """Reads rows."""
        rows = np.arange(len(self))[chosen]
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        early = rows < len(self._first)
        found[early] = self._first[rows[early]]
        found[~early] = self._second[rows[~early] - len(self._first)]
        return found
