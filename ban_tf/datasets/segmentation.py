"""Images and masks, as data whose labels are masks: read from folders, or drawn.

See `mask_folders` for the layout of folders. All files are read, and checked, before anything is
trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from absl import logging

from ban_tf.datasets import (
    content,
    decoding,
    folder_hints,
    image_files,
    listed_images,
    mask_folders,
    masks,
    resizing,
    shapes,
    splits,
)
from ban_tf.datasets.folder_layout import ALL, TEST, TRAIN, VALIDATION
from ban_tf.datasets.image_data import ImageData, Parts, Reading, Split
from ban_tf.datasets.mask_folders import Pair
from ban_tf.errors import InputError
from ban_tf.system import bars, hardware, seeds, shown

_FEW = 300  # images for which no progress is shown


def load(
    dataset: str,
    *,
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
        dataset: "segmentation", "segmentation:shapes" or "segmentation:FOLDER".
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
            whatever the seed.
        class_names: The classes, for masks that need not have all of them.
        split: Whether a folder without parts is split; otherwise all of it is test data.
        show_progress: Whether to show the progress of reading many images.

    Returns:
        The data; its labels are masks.

    Raises:
        InputError: The data cannot be loaded, or an image and its mask do not fit together.
    """
    if mask_folders.folder_of(dataset) is None:
        found = shapes.load(image_size, channels or 3)
    else:
        how = Reading(image_size, resize, channels, test_fraction=test_fraction)
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
    target = listed_images.target_of(root, [pair.image for pair in every], how)
    hardware.check_memory(
        float(len(every)) * np.prod(target.size) * (target.channels + 1),
        f"--dataset={dataset}",
        f"{len(every):,} images and masks of {target.size[0]}x{target.size[1]} pixels",
    )
    names = _check_names(dataset, mask_folders.class_names(dataset), class_names)
    images, labels, occurs = decode(
        dataset, every, target, void_label, len(names) if names else None, show_progress
    )
    names = tuple(names or _numbered(dataset, occurs))
    files = tuple(pair.image.relative_to(root).as_posix() for pair in every)
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


def _check_names(
    dataset: str, own: Sequence[str] | None, wanted: Sequence[str] | None
) -> Sequence[str] | None:
    """Returns the names of the classes, if known: those wanted, which must be those it has."""
    if own and wanted and list(own) != list(wanted):
        raise InputError(
            f"--dataset={dataset} has the classes {folder_hints.listed(own)} ({len(own)}), in this "
            f"order; the run has {folder_hints.listed(wanted)} ({len(wanted)})."
        )
    return wanted or own


def decode(
    dataset: str,
    pairs: Sequence[Pair],
    target: decoding.Target,
    void_label: int | None,
    classes: int | None,
    show_progress: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads images and their masks.

    Args:
        dataset: The value of `--dataset`, for messages.
        pairs: Their files.
        target: The size and channels to which they are brought.
        void_label: See `masks.read`.
        classes: The number of classes, if it is known.
        show_progress: Whether to show the progress of many.

    Returns:
        Images uint8 `[pairs, height, width, channels]`, masks uint8 `[pairs, height, width]`, and
        in how many masks each value occurs, `[256]`.

    Raises:
        InputError: Some cannot be read, or do not fit together; they are named.
    """
    images = np.zeros((len(pairs), *target.size, target.channels), np.uint8)
    labels = np.zeros((len(pairs), *target.size), np.uint8)
    occurs = np.zeros((len(pairs), 256), bool)

    def read(row: int) -> str | None:
        try:
            image = image_files.open_image(pairs[row].image)
            mask = masks.read(pairs[row].mask, void_label)
            _check_fits(pairs[row], image.size, mask.size)
            occurs[row] = np.array(mask.histogram()) > 0
            largest = np.flatnonzero(occurs[row, : masks.VOID]).max(initial=0)
            if classes is not None and largest >= classes:
                raise InputError(
                    f"{pairs[row].mask} has the class index {largest}, but there are {classes} "
                    f"classes, 0 to {classes - 1}."
                )
        except InputError as error:
            return shown.escaped(error)
        images[row] = resizing.to_array(image, *target)
        labels[row] = masks.at_size(mask, target.size, target.method)
        return None

    bad: list[str] = []
    show = show_progress and len(pairs) > _FEW
    with decoding.threads() as pool, bars.bar("reading images", len(pairs), show) as advance:
        for sentence in pool.map(read, range(len(pairs))):
            bad += [sentence] if sentence else []
            advance(1)
    if bad:
        raise InputError(
            f"--dataset={dataset} has images or masks that cannot be used ({len(bad)}): "
            f"{folder_hints.few(bad)}"
        )
    return images, labels, occurs.sum(axis=0)


def _check_fits(pair: Pair, image: tuple[int, int], mask: tuple[int, int]) -> None:
    if image != mask:
        raise InputError(
            f"{pair.mask} has {mask[1]}x{mask[0]} pixels, but {pair.image.name} has "
            f"{image[1]}x{image[0]}."
        )


def _numbered(dataset: str, occurs: np.ndarray) -> list[str]:
    """Returns names for the classes that masks have, if nobody has named them."""
    found = np.flatnonzero(occurs[: masks.VOID])
    if len(found) < 2:
        only = f"class {found[0]} alone" if len(found) else "no class"
        raise InputError(
            f"--dataset={dataset} has {only} in its masks, beside pixels without a class; at least "
            "two classes are needed, as pixels of 0 and 1."
        )
    unused = int(found[-1]) + 1 - len(found)
    if unused:
        logging.warning(
            "--dataset=%s: masks have class indices up to %d, %d of which never occur; are pixels "
            "indices of classes? %s would name the classes.",
            dataset,
            found[-1],
            unused,
            mask_folders.CLASSES,
        )
    return [f"class {number}" for number in range(int(found[-1]) + 1)]
