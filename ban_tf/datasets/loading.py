"""Loads images with classes, labels or numbers by the name of their dataset."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ban_tf.datasets import names, resizing
from ban_tf.datasets.image_data import ImageData, Parts, Reading, Split
from ban_tf.errors import InputError
from ban_tf.system import flag_names, seeds
from ban_tf.system.arguments import check_choice, check_count, check_flag, is_integer, is_number

_CACHES = ("auto", "memory", "disk")


@flag_names.as_arguments(dataset="name")
def load(
    name: str,
    *,
    data_dir: str | None = None,
    validation_fraction: float = 0.1,
    train_examples: int | None = None,
    seed: int = 0,
    image_size: tuple[int, int] | int | None = None,
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
        validation_fraction: Fraction of the training data used for validation, at most 0.5; not
            used for data with a validation part.
        train_examples: Use only this number of training examples: the first ones, or of files
            a fixed random choice; validation examples are taken from these.
        seed: Chooses the validation examples; at least 0.
        image_size: Height and width to which images are brought, or one number for both; by
            default those of the data, or the most common ones of files.
        resize: How they are brought to it: "crop", "pad" or "stretch"; see `datasets.resizing`.
        channels: 1 or 3; by default those of the data.
        cache: Where decoded images are stored: "memory", "disk" (next to the dataset,
            memory-mapped), or "auto": on disk if they would fill a third of the memory.
        skip_bad_files: Leave out images that cannot be read.
        test_fraction: Fraction of the images used for testing, at most 0.9, of data without a test
            part; the same images for every seed.
        show_progress: Whether to show the progress of reading many images.
        target: The column of numbers, if it is not called `value`.

    Raises:
        InputError: The data cannot be loaded, or is invalid.
    """
    from ban_tf.datasets import content, splits

    names.check(name, target)
    if not isinstance(data_dir, (str, os.PathLike, type(None))):
        raise InputError(f"`data_dir` must be a path. Received: {data_dir!r}")
    check_choice("resize", resize, resizing.METHODS)
    check_choice("channels", channels, (1, 3, None))
    check_choice("cache", cache, _CACHES)
    check_flag("skip_bad_files", skip_bad_files)
    check_flag("show_progress", show_progress)
    check_count("seed", seed, least=0)
    _check_share("validation_fraction", validation_fraction, 0.5)
    _check_share("test_fraction", test_fraction, 0.9)
    if train_examples is not None and not is_integer(train_examples):
        raise InputError(f"`train_examples` must be an integer. Received: {train_examples!r}")
    sized = (_size(image_size), resize, channels)
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
        names.augmented_by_default(name),
        known_by,
        found.skipped,
    )


def _check_share(name: str, share: Any, highest: float) -> None:
    if not is_number(share) or not 0 <= share <= highest:
        raise InputError(f"`{name}` must be a number from 0 to {highest}. Received: {share!r}")


def _size(image_size: Any) -> tuple[int, int] | None:
    if image_size is None:
        return None
    sides = (image_size, image_size) if is_integer(image_size) else image_size
    pair = isinstance(sides, (tuple, list)) and len(sides) == 2
    if not pair or not all(is_integer(side) and 0 < side <= resizing.LARGEST for side in sides):
        raise InputError(
            "`image_size` must be a number of pixels, or a pair (height, width), each from 1 to "
            f"{resizing.LARGEST}. Received: {image_size!r}"
        )
    return int(sides[0]), int(sides[1])


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
    if name == names.PAIRS:
        from ban_tf.datasets import digit_pairs

        return digit_pairs.load(how)
    if name == names.ROTATED:
        from ban_tf.datasets import rotated_digits

        return rotated_digits.load(how)
    if names.is_tfds(name):
        from ban_tf.datasets import tfds

        return tfds.load(
            *(name.removeprefix(names.LABELS), data_dir, train_examples, how),
            several=name.startswith(names.LABELS),
        )
    from ban_tf.datasets import listed_images

    return listed_images.load(name, *names.scan(name, target), how)


def _first(name: str, train: Split, count: int | None) -> Split:
    if count is None:
        return train
    if not 0 < count <= len(train.labels):
        raise InputError(
            f"--train_examples={count} must be between 1 and the {len(train.labels)} training "
            f"examples of --dataset={name}."
        )
    if names.is_folder(name) or names.is_table(name):
        # Often sorted by class: the first images are one class.
        chosen = np.random.default_rng(0).permutation(len(train.labels))[:count]
        return train.select(chosen)
    return train.select(np.arange(count))
