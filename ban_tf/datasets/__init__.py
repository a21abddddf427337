"""Image datasets: the embedded digits, any TFDS dataset, or a folder of images.

Text is in `datasets.text`.
"""

from __future__ import annotations

import numpy as np

from ban_tf.datasets.image_data import ImageData, Split
from ban_tf.errors import InputError
from ban_tf.system import seeds

__all__ = ["ImageData", "Split", "check", "load"]

_FOLDER = "folder:"
# Flipping changes the label of digits and letters, so augmentation is off by default.
_NOT_MIRRORED = (
    "digits",
    "mnist",
    "mnist_corrupted",
    "emnist",
    "kmnist",
    "svhn_cropped",
    "omniglot",
)


def check(name: str) -> None:
    """Checks the name of a dataset without loading anything.

    Raises:
        InputError: The name is a path, or the folder does not exist or has the wrong layout.
    """
    if not name:
        raise InputError(
            "--dataset is empty; give digits, a TFDS name such as cifar10, or folder:PATH."
        )
    from ban_tf.datasets import folder_hints

    if name.startswith(_FOLDER):
        from ban_tf.datasets import folder

        folder.check(name.removeprefix(_FOLDER))
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


def is_split_folder(name: str) -> bool:
    """Returns whether a dataset is a folder of classes, without `train` and `test`."""
    from ban_tf.datasets import folder_layout

    return is_folder(name) and folder_layout.is_split(name.removeprefix(_FOLDER))


def has_validation(name: str) -> bool:
    """Returns whether a dataset has validation data of its own."""
    from ban_tf.datasets import folder_layout

    return is_folder(name) and folder_layout.has_validation(name.removeprefix(_FOLDER))


def is_tfds(name: str) -> bool:
    """Returns whether a dataset is loaded by TensorFlow Datasets."""
    return name != "digits" and not name.startswith(_FOLDER)


def augmented_by_default(name: str) -> bool:
    """Returns whether a dataset is augmented by default."""
    return name.split("/")[0].split(":")[0] not in _NOT_MIRRORED


def load(
    name: str,
    *,
    data_dir: str | None = None,
    validation_fraction: float = 0.1,
    train_examples: int | None = None,
    seed: int = 0,
    cache: str = "auto",
    skip_bad_files: bool = False,
    test_fraction: float = 0.2,
) -> ImageData:
    """Loads a dataset.

    Args:
        name: "digits", "folder:PATH", or the name of a TFDS image-classification dataset.
        data_dir: The directory of TFDS data; not used for digits and folders.
        validation_fraction: Fraction of the training data used for validation; not used for
            folders with a validation folder.
        train_examples: Use only this number of training examples: the first ones, or for a folder
            a fixed random choice; validation examples are taken from these.
        seed: Chooses the validation examples.
        cache: Where decoded images of TFDS datasets are stored: "memory", "disk" (next to the
            dataset, memory-mapped), or "auto": on disk if they would fill half of the memory.
        skip_bad_files: Leave out files of a folder that cannot be read.
        test_fraction: Fraction of the images used for testing, of a folder without `train` and
            `test`; the same images whatever the seed.

    Raises:
        InputError: The data cannot be loaded, or is invalid.
    """
    from ban_tf.datasets import content, splits

    check(name)
    validation: Split | None = None
    skipped: tuple[str, ...] = ()
    if name == "digits":
        from ban_tf.datasets import digits

        train, test, class_names = digits.load()
    elif name.startswith(_FOLDER):
        from ban_tf.datasets import folder

        found = folder.load(name.removeprefix(_FOLDER), skip_bad_files, test_fraction)
        train, test, class_names = found.train, found.test, found.class_names
        validation, skipped = found.validation, found.skipped
    else:
        from ban_tf.datasets import tfds

        train, test, class_names = tfds.load(name, data_dir, train_examples, cache)
    train = _first(name, train, train_examples)
    known_by = content.of_images(train, test, class_names, validation)
    if validation is None:
        train, validation = splits.cut_validation(
            train, validation_fraction, seeds.derive_seed(seed, "validation")
        )
    mean, std = splits.channel_statistics(train.images)
    augment = augmented_by_default(name)
    parts = (train, validation, test)
    return ImageData(name, *parts, class_names, mean, std, augment, known_by, skipped)


def _first(name: str, train: Split, count: int | None) -> Split:
    if count is None:
        return train
    if not 0 < count <= len(train.labels):
        raise InputError(
            f"--train_examples={count} must be between 1 and the {len(train.labels)} training "
            f"examples of --dataset={name}."
        )
    if name.startswith(_FOLDER):  # a folder is sorted by class: its first images are one class
        chosen = np.random.default_rng(0).permutation(len(train.labels))[:count]
        return train.select(chosen)
    return train.select(np.arange(count))
