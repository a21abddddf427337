"""`PATH/{train,test}/CLASS`: a folder of images.

Images may lie in further folders within that of their class; `image_files` defines what is read.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import pathlib

import numpy as np
from absl import logging
from PIL import Image

from ban_tf.datasets import image_files
from ban_tf.datasets.image_data import Split
from ban_tf.errors import InputError
from ban_tf.system import shown

_NAMED = 5  # bad files that a message names


@dataclasses.dataclass(frozen=True, eq=False)
class FolderData:
    """The images of a folder.

    Attributes:
        train: The training data.
        test: The test data.
        class_names: In the order of the labels.
        skipped: Why files were left out, a sentence for each that names it.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def check(path: str) -> tuple[str, ...]:
    """Returns the names of the classes, sorted.

    Raises:
        InputError: The folder has the wrong layout.
    """
    return _scan(path)[0]


def load(path: str, skip_bad_files: bool = False) -> FolderData:
    """Loads images of any sizes.

    Images of different sizes are resized to the most common size; if all are gray, there is one
    channel, otherwise three.

    Args:
        path: The folder.
        skip_bad_files: Leave out files that cannot be read.

    Raises:
        InputError: The folder has the wrong layout, or an image cannot be read.
    """
    names, files, passed_over = _scan(path)
    if passed_over:
        counts = ", ".join(f"{count} {reason}" for reason, count in passed_over.most_common())
        logging.warning("%s: files that are not read: %s.", path, counts)
    images, labels, skipped = {}, {}, []
    for part in files:
        images[part], labels[part], bad = _read(files[part])
        skipped += bad
    if skipped and not skip_bad_files:
        raise InputError(
            f"--dataset=folder:{path} has bad files ({len(skipped)}): {_few(skipped)} Repair or "
            "delete them, or leave them out with --skip_bad_files."
        )
    for part, found in labels.items():
        _check_left(path, part, found, names)
    if skipped:
        logging.warning(
            "%s: bad files that are left out (%d): %s", path, len(skipped), _few(skipped)
        )
    every = [image for part in images.values() for image in part]
    sizes = collections.Counter(image.size for image in every)
    size = sizes.most_common(1)[0][0]
    if len(sizes) > 1:
        logging.warning("%s: images of %d sizes are resized to %dx%d.", path, len(sizes), *size)
    mode = "L" if all(image.mode == "L" for image in every) else "RGB"
    train, test = (
        Split(_array(images[part], size, mode), labels[part]) for part in ("train", "test")
    )
    return FolderData(train, test, names, tuple(skipped))


def _scan(
    path: str,
) -> tuple[tuple[str, ...], dict[str, list[tuple[pathlib.Path, int]]], collections.Counter[str]]:
    """Returns class names, files and labels of each part, and numbers of files passed over."""
    root = pathlib.Path(path).expanduser()
    found: dict[str, dict[str, list[pathlib.Path]]] = {}
    passed_over: collections.Counter[str] = collections.Counter()
    for part in ("train", "test"):
        if not (root / part).is_dir():
            raise InputError(
                f"--dataset=folder:{path} has no folder {part}; images are expected in "
                "PATH/train/CLASS and PATH/test/CLASS."
            )
        found[part] = {}
        for entry in sorted((root / part).iterdir()):
            if image_files.is_hidden(entry.name):
                passed_over[image_files.HIDDEN] += 1
            elif not entry.is_dir():
                passed_over["outside of the folder of a class"] += 1
            else:
                here: collections.Counter[str] = collections.Counter()
                found[part][entry.name] = image_files.find(entry, here)
                passed_over += here
                if not found[part][entry.name]:
                    others = ", ".join(f"{count} {reason}" for reason, count in here.most_common())
                    raise InputError(
                        f"{entry} holds no images{f', but files: {others}' if others else ''}."
                    )
    if set(found["train"]) != set(found["test"]):
        only = sorted(set(found["train"]) ^ set(found["test"]))
        raise InputError(
            f"--dataset=folder:{path} must have the same classes in train and test; only in one of "
            f"them: {', '.join(only)}."
        )
    names = tuple(found["train"])
    if len(names) < 2:
        raise InputError(
            f"--dataset=folder:{path} has {len(names)} class(es); at least two are needed."
        )
    files = {
        part: [(file, label) for label, name in enumerate(names) for file in found[part][name]]
        for part in found
    }
    return names, files, passed_over


def _read(
    files: list[tuple[pathlib.Path, int]],
) -> tuple[list[Image.Image], np.ndarray, list[str]]:
    """Returns images, their labels, and a sentence for each file that cannot be read."""

    def read(file: pathlib.Path) -> Image.Image | str:
        try:
            return image_files.open_image(file)
        except InputError as error:
            return shown.escaped(error)

    images, labels, bad = [], [], []
    with concurrent.futures.ThreadPoolExecutor() as threads:
        found = threads.map(read, [file for file, _ in files])
        for image, (_, label) in zip(found, files, strict=True):
            if isinstance(image, str):
                bad.append(image)
            else:
                images.append(image)
                labels.append(label)
    return images, np.array(labels, dtype=np.int32), bad


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
    return np.stack(arrays)
