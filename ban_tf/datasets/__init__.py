"""Images to learn from: the embedded digits, any TFDS set, or the user's own folder.

Text is in `datasets.text`.
"""

from __future__ import annotations

import numpy as np

from ban_tf.datasets.image_data import ImageData, Split
from ban_tf.errors import InputError
from ban_tf.system import seeds

__all__ = ["ImageData", "Split", "check", "load"]

_FOLDER = "folder:"
# A mirrored digit or letter is another sign, or none: crops and flips are no custom here.
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
    """Finds out what can be found wrong with a data set's name without loading anything.

    Raises:
        InputError: There is no such folder, or it is not laid out as it should be.
    """
    if not name:
        raise InputError(
            "--dataset is empty; give digits, a TFDS name such as cifar10, or folder:PATH."
        )
    if name.startswith(_FOLDER):
        from ban_tf.datasets import folder

        folder.check(name.removeprefix(_FOLDER))


def is_tfds(name: str) -> bool:
    """Returns whether a data set is read by TensorFlow Datasets."""
    return name != "digits" and not name.startswith(_FOLDER)


def augmented_by_default(name: str) -> bool:
    """Returns whether random crops and flips are customary for a data set."""
    return name.split("/")[0].split(":")[0] not in _NOT_MIRRORED


def load(
    name: str,
    *,
    data_dir: str | None = None,
    validation_fraction: float = 0.1,
    train_examples: int | None = None,
    seed: int = 0,
    cache: str = "auto",
) -> ImageData:
    """Loads a data set.

    Args:
        name: "digits", "folder:PATH", or the name of a TFDS image-classification data set.
        data_dir: Where TFDS keeps its data; digits and folders have no use for it.
        validation_fraction: Share of the training data that is held out for validation.
        train_examples: Use the first so many training examples only (of a folder, so many drawn,
            always the same ones); validation is cut from these.
        seed: Chooses the validation examples.
        cache: Where the decoded images of TFDS data sets are kept: "memory", "disk" (beside the
            data set, memory-mapped), or "auto", on disk if they would fill half of the memory.

    Raises:
        InputError: The data cannot be had, or is not what it should be.
    """
    check(name)
    if name == "digits":
        from ban_tf.datasets import digits

        train, test, class_names = digits.load()
    elif name.startswith(_FOLDER):
        from ban_tf.datasets import folder

        train, test, class_names = folder.load(name.removeprefix(_FOLDER))
    else:
        from ban_tf.datasets import tfds

        train, test, class_names = tfds.load(name, data_dir, train_examples, cache)
    train = _first(name, train, train_examples)
    return _assemble(name, train, test, class_names, validation_fraction, seed)


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


def _assemble(
    name: str,
    train: Split,
    test: Split,
    class_names: tuple[str, ...],
    validation_fraction: float,
    seed: int,
) -> ImageData:
    from ban_tf.datasets import content, splits

    known_by = content.of_images(train, test, class_names)
    train, validation = splits.cut_validation(
        train, validation_fraction, seeds.derive_seed(seed, "validation")
    )
    mean, std = splits.channel_statistics(train.images)
    augment = augmented_by_default(name)
    return ImageData(name, train, validation, test, class_names, mean, std, augment, known_by)
