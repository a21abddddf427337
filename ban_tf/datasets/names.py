"""Names of datasets: which there are, and what data they name, without loading it."""

from __future__ import annotations

import importlib
import pathlib
from typing import TYPE_CHECKING

from ban_tf.errors import InputError
from ban_tf.system import csv_tables, flag_names

if TYPE_CHECKING:
    from ban_tf.datasets.folder_layout import Scan

_FOLDER, _CSV, _MULTI_LABEL = "folder:", "csv:", "multilabel:"
_MASKS, LABELS = "segmentation:tfds:", "multilabel:tfds:"
PAIRS = f"{_MULTI_LABEL}digits"
_NUMBERS = "regression:"
ROTATED = f"{_NUMBERS}digits"
# Images that come with a dependency.
_EMBEDDED = ("digits", PAIRS, ROTATED)
# The prefixes of data that are no images with classes, labels or numbers.
_OTHERS = ("documents", "segmentation", "table", "text")
# The module that knows the parts of datasets with a prefix.
_FILES = {
    "folder": "folder_layout",
    "csv": "table_files",
    "table": "table_files",
    "multilabel": "label_list",
    "regression": "number_list",
    "segmentation": "mask_folders",
    "documents": "documents",
}
# Flipping changes the label of digits and letters, so augmentation is off by default.
_NOT_MIRRORED = (
    "digits",
    "mnist",
    "mnist_corrupted",
    "emnist",
    "kmnist",
    "svhn_cropped",
    "omniglot",
    "multilabel:digits",
    "regression:digits",
)


@flag_names.as_arguments(dataset="name")
def check(name: str, target: str | None = None) -> None:
    """Checks the name of a dataset without loading anything.

    Args:
        name: As for `load`.
        target: As for `load`.

    Raises:
        InputError: The name is none, a path, or that of other data; the folder does not exist or
            has the wrong layout; or there are no numbers for `target`.
    """
    if not isinstance(name, str):
        raise InputError(f"`name` must be that of a dataset. Received: {name!r}")
    if not name:
        raise InputError(
            "--dataset is empty; give digits, a TFDS name such as cifar10, folder:PATH or csv:FILE."
        )
    if f"{name}:" in (_MULTI_LABEL, _NUMBERS):
        raise InputError(
            f"--dataset={name} names no data; give {name}:FILE, a table of images, or "
            f"{name}:digits."
        )
    if name.partition(":")[0] in _OTHERS:
        raise InputError(f"--dataset={name} has no images with classes, labels or numbers.")
    if name in _FILES:
        raise InputError(f"--dataset={name} names no data; give {name}:PATH.")
    if name == LABELS:
        raise InputError(f"--dataset={name} names no data; give {name}NAME.")
    if name.startswith("digits:"):
        raise InputError(f"--dataset={name} is unknown; give digits alone.")
    if target is not None and (not isinstance(target, str) or not target):
        raise InputError(f"`target` must be the name of a column. Received: {target!r}")
    if target is not None and not (is_table(name) or name == ROTATED):
        raise InputError(f"--target={target} is for numbers, of which --dataset={name} has none.")
    from ban_tf.datasets import folder_hints

    if is_folder(name) or is_table(name):
        scan(name, target)
    elif name == ROTATED and target not in (None, "angle"):
        raise InputError(f"--target={target} is none of --dataset={name}, which has angles.")
    elif folder_hints.looks_like_path(name):
        raise InputError(
            f"--dataset={name} is a path. "
            + (
                folder_hints.forgotten(name)
                or "Type --dataset=folder:PATH with a folder that exists."
            )
        )


def is_folder(name: str) -> bool:
    """Returns whether a dataset is a folder of images."""
    return name.startswith(_FOLDER)


def is_table(name: str) -> bool:
    """Returns whether a dataset is a table of image files."""
    prefixed = name.startswith((_CSV, _MULTI_LABEL, _NUMBERS))
    return prefixed and not is_embedded(name) and not is_tfds(name)


def is_embedded(name: str) -> bool:
    """Returns whether a dataset comes with a dependency."""
    return name in _EMBEDDED


def parts(name: str) -> set[str]:
    """Returns the parts that files of a dataset are divided into, of `folder_layout`.

    These are `TRAIN`, `TEST` and perhaps `VALIDATION`, or `ALL` for files that are divided here.
    There are none of a dataset without files, nor of one that cannot be read: what is wrong with it
    is said when it is loaded.
    """
    module = _FILES.get(name.partition(":")[0])
    if module is None:
        return set()
    return importlib.import_module(f"ban_tf.datasets.{module}").known_parts(name)


def may_be_split(name: str) -> bool:
    """Returns whether test data may be taken from the training data of a dataset.

    A TFDS dataset is split if it has no test data.
    """
    return "all" in parts(name) or is_tfds(name)


def has_validation(name: str) -> bool:
    """Returns whether files of a dataset are its own validation data."""
    return "validation" in parts(name)


def is_tfds(name: str) -> bool:
    """Returns whether a dataset is loaded by TensorFlow Datasets."""
    return name.startswith((_MASKS, LABELS)) or name.partition(":")[0] not in (*_EMBEDDED, *_FILES)


def augmented_by_default(name: str) -> bool:
    """Returns whether a dataset is augmented by default."""
    return name not in _NOT_MIRRORED and name.split("/")[0].split(":")[0] not in _NOT_MIRRORED


def scan(name: str, target: str | None) -> tuple[pathlib.Path, Scan]:
    """Returns the folder of a dataset, and the files in it that a folder or a table names."""
    from ban_tf.datasets import csv_list, folder_hints, folder_layout, label_list, number_list

    if is_table(name):
        file = csv_list.existing(name)
        headings = csv_tables.headings(str(file))
        several = label_list.LABELS in headings and name.startswith(_CSV)
        if name.startswith(_MULTI_LABEL) or several:
            scanned = label_list.scan
        elif number_list.is_of_numbers(name, headings):
            return file.parent, number_list.scan(name, target)
        else:
            scanned = csv_list.scan
        if target is not None:
            raise InputError(f"--target={target} is for numbers, and --dataset={name} has labels.")
        return file.parent, scanned(name)
    path = name.removeprefix(_FOLDER)
    return folder_hints.existing(path), folder_layout.scan(path)
