"""Image datasets: the embedded digits, any TFDS dataset, a folder or a table of images.

Text is in `datasets.text`.
"""

from __future__ import annotations

import importlib
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from ban_tf.datasets.image_data import ImageData, Parts, Reading, Split
from ban_tf.datasets.recorded_views import views
from ban_tf.errors import InputError
from ban_tf.system import csv_tables, flag_names, seeds

if TYPE_CHECKING:
    from ban_tf.datasets.folder_layout import Scan

__all__ = ["ImageData", "Split", "check", "load", "views"]

_FOLDER, _CSV, _MULTI_LABEL = "folder:", "csv:", "multilabel:"
_MASKS, _LABELS = "segmentation:tfds:", "multilabel:tfds:"
_PAIRS = f"{_MULTI_LABEL}digits"
_NUMBERS = "regression:"
_ROTATED = f"{_NUMBERS}digits"
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
        InputError: The name is none, or a path, or the folder does not exist or has the wrong
            layout.
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
    from ban_tf.datasets import folder_hints

    if is_folder(name) or is_table(name):
        _listed(name, target)
    elif name == _ROTATED and target not in (None, "angle"):
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
    return name in ("digits", _PAIRS, _ROTATED)


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
    return name.startswith((_MASKS, _LABELS)) or name.partition(":")[0] not in ("digits", *_FILES)


def augmented_by_default(name: str) -> bool:
    """Returns whether a dataset is augmented by default."""
    return name not in _NOT_MIRRORED and name.split("/")[0].split(":")[0] not in _NOT_MIRRORED


@flag_names.as_arguments(dataset="name")
def load(
    name: str,
    *,
    data_dir: str | None = None,
    validation_fraction: float = 0.1,
    train_examples: int | None = None,
    seed: int = 0,
    image_size: tuple[int, int] | None = None,
    resize: str = "crop",
    channels: int | None = None,
    cache: str = "auto",
    skip_bad_files: bool = False,
    test_fraction: float = 0.2,
    show_progress: bool = False,
    target: str | None = None,
) -> ImageData:
    """Loads a dataset.

    Args:
        name: "digits", "folder:PATH", "csv:FILE", or the name of a TFDS image-classification
            dataset; with several labels for each image "multilabel:digits", "multilabel:FILE",
            "multilabel:tfds:NAME", or "csv:FILE" with a column `labels`; with a number for each
            image "regression:digits", "regression:FILE", or "csv:FILE" with a column `value`.
        data_dir: The directory of TFDS data; not used for digits and files.
        validation_fraction: Fraction of the training data used for validation; not used for
            data with a validation part.
        train_examples: Use only this number of training examples: the first ones, or of files
            a fixed random choice; validation examples are taken from these.
        seed: Chooses the validation examples.
        image_size: Height and width to which images are brought; by default that of the data, or
            the most common one of files.
        resize: How they are brought to it: "crop", "pad" or "stretch"; see `datasets.resizing`.
        channels: 1 or 3; by default those of the data.
        cache: Where decoded images are stored: "memory", "disk" (next to the dataset,
            memory-mapped), or "auto": on disk if they would fill a third of the memory.
        skip_bad_files: Leave out images that cannot be read.
        test_fraction: Fraction of the images used for testing, of data without a test part;
            the same images whatever the seed.
        show_progress: Whether to show the progress of reading many images.
        target: The column of numbers, if it is not called `value`.

    Raises:
        InputError: The data cannot be loaded, or is invalid.
    """
    from ban_tf.datasets import content, splits

    check(name, target)
    sized = (image_size, resize, channels)
    how = Reading(*sized, cache, skip_bad_files, test_fraction, show_progress)
    found = _read(name, data_dir, train_examples, how, target)
    train, validation = _first(name, found.train, train_examples), found.validation
    known_by = content.of_images(train, found.test, found.class_names, validation)
    if validation is None:
        train, validation = splits.cut_validation(
            train, validation_fraction, seeds.derive_seed(seed, "validation")
        )
    return ImageData(
        name,
        train,
        validation,
        found.test,
        found.class_names,
        *splits.channel_statistics(train.images),
        augmented_by_default(name),
        known_by,
        found.skipped,
    )


def _read(
    name: str,
    data_dir: str | None,
    train_examples: int | None,
    how: Reading,
    target: str | None,
) -> Parts:
    if name == "digits":
        from ban_tf.datasets import digits

        return digits.load(how)
    if name == _PAIRS:
        from ban_tf.datasets import digit_pairs

        return digit_pairs.load(how)
    if name == _ROTATED:
        from ban_tf.datasets import rotated_digits

        return rotated_digits.load(how)
    if is_tfds(name):
        from ban_tf.datasets import tfds

        return tfds.load(
            *(name.removeprefix(_LABELS), data_dir, train_examples, how),
            several=name.startswith(_LABELS),
        )
    from ban_tf.datasets import listed_images

    return listed_images.load(name, *_listed(name, target), how)


def _listed(name: str, target: str | None) -> tuple[pathlib.Path, Scan]:
    """Returns the files of a dataset, and the folder that they are in."""
    from ban_tf.datasets import csv_list, folder_hints, folder_layout, label_list, number_list

    if is_table(name):
        file = csv_list.existing(name)
        headings = csv_tables.headings(str(file))
        if name.startswith(_MULTI_LABEL) or (
            label_list.LABELS in headings and name.startswith(_CSV)
        ):
            return file.parent, label_list.scan(name)
        if number_list.is_of_numbers(name, headings):
            return file.parent, number_list.scan(name, target)
        return file.parent, csv_list.scan(name)
    path = name.removeprefix(_FOLDER)
    return folder_hints.existing(path), folder_layout.scan(path)


def _first(name: str, train: Split, count: int | None) -> Split:
    if count is None:
        return train
    if not 0 < count <= len(train.labels):
        raise InputError(
            f"--train_examples={count} must be between 1 and the {len(train.labels)} training "
            f"examples of --dataset={name}."
        )
    if is_folder(name) or is_table(name):  # often sorted by class: the first images are one class
        chosen = np.random.default_rng(0).permutation(len(train.labels))[:count]
        return train.select(chosen)
    return train.select(np.arange(count))
