"""Loads a folder of images: `folder_layout` finds the files, `image_files` reads them."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
import pathlib
from typing import NamedTuple

import numpy as np
from absl import logging
from PIL import Image

from ban_tf.datasets import duplicates, folder_hints, folder_layout, image_files, splits
from ban_tf.datasets.folder_layout import ALL, TEST, TRAIN, VALIDATION
from ban_tf.datasets.image_data import Split
from ban_tf.errors import InputError
from ban_tf.system import seeds, shown

_NAMED = 5  # bad files that a message names


@dataclasses.dataclass(frozen=True, eq=False)
class FolderData:
    """The images of a folder.

    Attributes:
        train: The training data.
        validation: The validation data; None if the folder has none of its own.
        test: The test data.
        class_names: In the order of the labels.
        skipped: Why files were left out, a sentence for each that names it.
    """

    train: Split
    validation: Split | None
    test: Split
    class_names: tuple[str, ...]
    skipped: tuple[str, ...] = ()


class _Part(NamedTuple):
    """Decoded images, and what is known of each."""

    images: list[Image.Image]
    known: list[duplicates.Known]

    @property
    def labels(self) -> np.ndarray:
        """Their labels, int32 `[images]`."""
        return np.array([image.label for image in self.known], dtype=np.int32)

    def select(self, chosen: np.ndarray) -> _Part:
        """Returns some of the images, by a mask."""
        compress = itertools.compress
        return _Part(list(compress(self.images, chosen)), list(compress(self.known, chosen)))

    def split(self, folder: str, size: tuple[int, int], mode: str) -> Split:
        """Returns the images at one size and mode, with their names in a folder."""
        names = tuple(image.file.relative_to(folder).as_posix() for image in self.known)
        return Split(_array(self.images, size, mode), self.labels, names)


def check(path: str) -> tuple[str, ...]:
    """Returns the names of the classes, in natural order.

    Raises:
        InputError: The folder has the wrong layout.
    """
    return folder_layout.scan(path).class_names


def load(path: str, skip_bad_files: bool = False, test_fraction: float = 0.2) -> FolderData:
    """Loads images of any sizes.

    Images of different sizes are resized to the most common size; if all are gray, there is one
    channel, otherwise three.

    Args:
        path: The folder.
        skip_bad_files: Leave out files that cannot be read.
        test_fraction: Fraction of each class for testing, if the folder has no `train` and `test`;
            the choice does not depend on the seed of a run.

    Raises:
        InputError: The folder has the wrong layout, or an image cannot be read.
    """
    names, files, passed_over = folder_layout.scan(path)
    if passed_over:
        counts = shown.escaped(folder_hints.counted(passed_over))
        logging.warning("%s: files that are not read: %s.", path, counts)
    parts, skipped = {}, []
    for part in files:
        parts[part], bad = _read(files[part])
        skipped += bad
    if skipped and not skip_bad_files:
        raise InputError(
            f"--dataset=folder:{path} has bad files ({len(skipped)}): {_few(skipped)} Repair or "
            "delete them, or leave them out with --skip_bad_files."
        )
    if skipped:
        count = len(skipped)
        logging.warning("%s: bad files that are left out (%d): %s", path, count, _few(skipped))
    if ALL in parts:
        parts = _cut_test(path, parts[ALL], test_fraction, names)
    for part in (TRAIN, TEST):
        _check_left(path, part, parts[part].labels, names)
    identical = duplicates.describe({part: read.known for part, read in parts.items()})
    if identical:
        logging.warning("%s: identical images: %s.", path, shown.escaped(identical))
    size, mode = _common(path, [image for part in parts.values() for image in part.images])
    found = {part: read.split(path, size, mode) for part, read in parts.items()}
    return FolderData(found[TRAIN], found.get(VALIDATION), found[TEST], names, tuple(skipped))


def _cut_test(path: str, every: _Part, fraction: float, names: tuple[str, ...]) -> dict[str, _Part]:
    """Splits the images of a folder without `train` and `test`."""
    for name, count in zip(names, np.bincount(every.labels, minlength=len(names)), strict=True):
        if count < 2:
            raise InputError(
                f"--dataset=folder:{path}: class {name} has {count} image(s); at least two are "
                "needed, one to train with and one to test with."
            )
    seed = seeds.derive_seed(0, "test")  # all runs have the same test data
    held_out = splits.choose(every.labels, fraction, seed, at_least=1)
    return {TRAIN: every.select(~held_out), TEST: every.select(held_out)}


def _common(path: str, images: list[Image.Image]) -> tuple[tuple[int, int], str]:
    """Returns the most common size, and the mode in which all images can be shown."""
    sizes = collections.Counter(image.size for image in images)
    size = sizes.most_common(1)[0][0]
    if len(sizes) > 1:
        logging.warning("%s: images of %d sizes are resized to %dx%d.", path, len(sizes), *size)
    return size, "L" if all(image.mode == "L" for image in images) else "RGB"


def _read(
    files: list[tuple[pathlib.Path, int]],
) -> tuple[_Part, list[str]]:
    """Returns what can be read, and a sentence for each file that cannot."""

    def read(file: pathlib.Path) -> tuple[Image.Image, bytes] | str:
        try:
            image = image_files.open_image(file)
        except InputError as error:
            return shown.escaped(error)
        digest = hashlib.sha1(f"{image.mode} {image.size} ".encode(), usedforsecurity=False)
        digest.update(image.tobytes())
        return image, digest.digest()

    images, known, bad = [], [], []
    with concurrent.futures.ThreadPoolExecutor() as threads:
        found = threads.map(read, [file for file, _ in files])
        for result, (file, label) in zip(found, files, strict=True):
            if isinstance(result, str):
                bad.append(result)
            else:
                images.append(result[0])
                known.append(duplicates.Known(file, label, result[1]))
    return _Part(images, known), bad


def _few(sentences: list[str]) -> str:
    more = len(sentences) - _NAMED
    return " ".join(sentences[:_NAMED]) + (f" And {more} more." if more > 0 else "")


def _check_left(path: str, part: str, labels: np.ndarray, names: tuple[str, ...]) -> None:
    for label, name in enumerate(names):
        if label not in labels:
            raise InputError(
                f"--dataset=folder:{path}: no image of {name} in {part} can be read, so that "
                "nothing is left of this class; repair its files."
            )


def _array(images: list[Image.Image], size: tuple[int, int], mode: str) -> np.ndarray:
    arrays = []
    for image in images:
        image = image.convert(mode)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        arrays.append(np.asarray(image, dtype=np.uint8).reshape(size[1], size[0], -1))
    return np.stack(arrays) if arrays else np.empty((0, size[1], size[0], len(mode)), np.uint8)
