"""Images and masks, as data whose labels are masks: read from folders, or drawn.

See `mask_folders` for the layout of folders. All files are read, and checked, before anything is
trained.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from ban_tf.datasets import (
    content,
    folder_hints,
    listed_images,
    mask_folders,
    mask_pairs,
    masks,
    shapes,
    splits,
)
from ban_tf.datasets.folder_layout import ALL, TEST, TRAIN, VALIDATION
from ban_tf.datasets.image_data import ImageData, Parts, Reading, Split
from ban_tf.errors import InputError
from ban_tf.system import seeds


def load(
    dataset: str,
    *,
    data_dir: str | None = None,
    void_label: int | None = masks.VOID,
    validation_fraction: float = 0.1,
    train_examples: int | None = None,
    seed: int = 0,
    image_size: tuple[int, int] | None = None,
    resize: str = "stretch",
    channels: int | None = None,
    test_fraction: float = 0.2,
    class_names: Sequence[str] | None = None,
    split: bool = True,
    show_progress: bool = False,
) -> ImageData:
    """Loads a dataset for segmentation.

    Args:
        dataset: "segmentation", "segmentation:shapes", "segmentation:FOLDER" or
            "segmentation:tfds:NAME".
        data_dir: The directory of TFDS data.
        void_label: The index of pixels without a class in masks; None if all have one.
        validation_fraction: Fraction of the training data used for validation, of data without a
            validation part.
        train_examples: Use only this number of training examples, a fixed random choice.
        seed: Chooses the validation examples.
        image_size: Height and width to which images and masks are brought; by default the most
            common one.
        resize: How they are brought to it: "crop", "pad" or "stretch". Images are interpolated
            with antialiasing; the pixels of masks are the nearest ones, and padding has no class.
        channels: 1 or 3; by default those of the data.
        test_fraction: Fraction used for testing, of data without a test part; the same ones
            for every seed.
        class_names: The classes, for masks that need not have all of them.
        split: Whether a folder without parts is split; otherwise all of it is test data.
        show_progress: Whether to show the progress of reading many images.

    Returns:
        The data; its labels are masks.

    Raises:
        InputError: The data cannot be loaded, or an image and its mask do not fit together.
    """
    how = Reading(image_size, resize, channels, test_fraction=test_fraction)
    if mask_folders.is_drawn(dataset):
        check_names(dataset, shapes.CLASSES, class_names)
        found = shapes.load(image_size, channels or 3)
    elif mask_folders.tfds_of(dataset) is not None:
        from ban_tf.datasets import tfds_masks

        found = tfds_masks.load(dataset, data_dir, how, void_label, class_names, show_progress)
    else:
        found = _read(dataset, how, void_label, class_names, split, show_progress)
    for part in (found.train, found.test):
        if len(part.labels) and (part.labels == masks.VOID).all():
            name = "training" if part is found.train else "test"
            raise InputError(f"--dataset={dataset} has no pixel with a class in its {name} masks.")
    train, validation = found.train, found.validation
    if train_examples is not None:
        train = _first(dataset, train, train_examples)
    known_by = content.of_images(train, found.test, found.class_names, validation)
    if validation is None:
        seed = seeds.derive_seed(seed, "validation")
        held_out = splits.choose(_one_class(train), validation_fraction, seed)
        train, validation = train.select(~held_out), train.select(held_out)
    statistics = splits.channel_statistics((train if len(train.labels) else found.test).images)
    return ImageData(
        dataset, train, validation, found.test, found.class_names, *statistics, True, known_by
    )


def _one_class(split: Split) -> np.ndarray:
    """Returns labels with which a split is not stratified."""
    return np.zeros(len(split.labels), np.int32)


def _first(dataset: str, train: Split, count: int) -> Split:
    if not 0 < count <= len(train.labels):
        raise InputError(
            f"--train_examples={count} must be between 1 and the {len(train.labels)} training "
            f"examples of --dataset={dataset}."
        )
    return train.select(np.random.default_rng(0).permutation(len(train.labels))[:count])


def _read(
    dataset: str,
    how: Reading,
    void_label: int | None,
    class_names: Sequence[str] | None,
    split: bool,
    show_progress: bool,
) -> Parts:
    """Reads the images and masks of a folder."""
    root, by_part = mask_folders.root_of(dataset), mask_folders.pairs(dataset)
    every = [pair for some in by_part.values() for pair in some]
    paths = [pathlib.Path(str(pair.image)) for pair in every]
    target = listed_images.target_of(root, paths, how)
    mask_pairs.check_memory(dataset, len(every), target)
    names = check_names(dataset, mask_folders.class_names(dataset), class_names)
    images, labels, occurs = mask_pairs.decode(
        dataset, every, target, void_label, len(names) if names else None, show_progress
    )
    names = tuple(names or mask_pairs.numbered(dataset, occurs))
    files = tuple(path.relative_to(root).as_posix() for path in paths)
    whole = Split(images, labels, files)
    ends = np.cumsum([0, *map(len, by_part.values())])
    rows = {
        part: np.arange(start, end)
        for part, start, end in zip(by_part, ends[:-1], ends[1:], strict=True)
    }
    if ALL in rows:
        held_out = np.ones(len(every), bool)
        if split:
            held_out = splits.choose_test(_one_class(whole), how.test_fraction)
        rows = {TRAIN: np.flatnonzero(~held_out), TEST: np.flatnonzero(held_out)}
    parts = {part: whole.select(chosen) for part, chosen in rows.items()}
    return Parts(parts[TRAIN], parts[TEST], names, parts.get(VALIDATION))


def check_names(
    dataset: str, own: Sequence[str] | None, wanted: Sequence[str] | None
) -> Sequence[str] | None:
    """Returns the names of the classes, if they are known.

    Args:
        dataset: The value of `--dataset`, for messages.
        own: The names that the data has, if it has any.
        wanted: The names that it must have, if any.

    Raises:
        InputError: It has others.
    """
    if own and wanted and list(own) != list(wanted):
        raise InputError(
            f"--dataset={dataset} has the classes {folder_hints.listed(own)} ({len(own)}), in this "
            f"order; the run has {folder_hints.listed(wanted)} ({len(wanted)})."
        )
    return wanted or own
