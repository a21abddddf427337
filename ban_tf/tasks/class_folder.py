"""A folder of classes alone, all of whose images are test data of `ban-tf evaluate`."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from ban_tf.datasets import folder_hints, folder_layout, image_files
from ban_tf.errors import InputError

_FOLDER = "folder:"


class ClassFolder(NamedTuple):
    """The images of a folder of classes.

    Attributes:
        files: Their paths.
        labels: Their classes, in the order of the trained ones.
        missing: The trained classes of which there is no image.
    """

    files: list[str]
    labels: list[int]
    missing: tuple[str, ...]


def is_alone(dataset: str) -> bool:
    """Returns whether a dataset is a folder of classes without train, validation and test.

    Args:
        dataset: As `--dataset`.

    Raises:
        InputError: It is a folder that does not exist.
    """
    if not dataset.startswith(_FOLDER):
        return False
    folders = folder_hints.folders(folder_hints.existing(dataset.removeprefix(_FOLDER)))
    parts = {
        folder.name.lower(): folder
        for folder in folders
        if folder.name.lower() in folder_layout.PARTS
    }
    if {"train", "test"} <= parts.keys():
        return False
    # Folders of these names that hold images are classes.
    return all(map(folder_hints.holds_images, parts.values()))


def is_own(dataset: str, trained_on: str) -> bool:
    """Returns whether a folder is the one that a run was trained on, by any path to it.

    Args:
        dataset: As `--dataset`, a folder.
        trained_on: The `--dataset` of the run.
    """
    if not trained_on.startswith(_FOLDER):
        return False
    names = (dataset.removeprefix(_FOLDER), trained_on.removeprefix(_FOLDER))
    given, own = (pathlib.Path(name).expanduser().resolve() for name in names)
    return given == own


def find(dataset: str, class_names: Sequence[str]) -> ClassFolder:
    """Returns the images of a folder of classes.

    Args:
        dataset: As `--dataset`.
        class_names: The trained classes; names are compared in composed form.

    Raises:
        InputError: The folder has other classes, no classes or no images.
    """
    trained = [folder_layout.normalized(name) for name in class_names]
    files: list[str] = []
    labels: list[int] = []
    unknown: list[str] = []
    root = folder_hints.existing(dataset.removeprefix(_FOLDER))
    passed_over: collections.Counter[str] = collections.Counter()
    for folder in folder_hints.folders(root):
        name = folder_layout.normalized(folder.name)
        found = image_files.find(folder, passed_over)
        if name in trained:
            files += map(str, found)
            labels += [trained.index(name)] * len(found)
        elif found:
            unknown.append(name)
    if unknown:
        raise InputError(
            f"--dataset={dataset} has classes that the run was not trained on: "
            f"{_listed(unknown)}. The run knows {_listed(class_names)}."
        )
    if not files:
        raise InputError(
            f"--dataset={dataset} has no images in folders named for the classes of the run: "
            f"{_listed(class_names)}."
        )
    folder_hints.warn_of_passed_over(root, passed_over)
    missing = tuple(name for label, name in enumerate(class_names) if label not in set(labels))
    return ClassFolder(files, labels, missing)


def _listed(names: Sequence[str]) -> str:
    return f"{folder_hints.listed(names)} ({len(names)})"
