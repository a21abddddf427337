"""Segmentation datasets of TensorFlow Datasets, `segmentation:tfds:NAME`, such as oxford_iiit_pet.

The image is the feature `image`, the mask the other image of one channel. Both are decoded as those
in files are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ban_tf.datasets import mask_folders, mask_pairs, segmentation, splits, tfds
from ban_tf.datasets.decoding import Target
from ban_tf.datasets.folder_layout import TEST, TRAIN, VALIDATION
from ban_tf.datasets.image_data import Parts, Reading, Split
from ban_tf.errors import InputError

_IMAGE = "image"
_AT_A_TIME = 256  # encoded images in memory


def load(
    dataset: str,
    data_dir: str | None,
    how: Reading,
    void_label: int | None,
    class_names: Sequence[str] | None = None,
    show_progress: bool = False,
) -> Parts:
    """Returns the images and masks of a dataset.

    Args:
        dataset: The value of `--dataset`.
        data_dir: The directory of TFDS data; TFDS's default if None.
        how: How they are read.
        void_label: See `masks.read`.
        class_names: The classes, for masks that need not have all of them.
        show_progress: Whether to show the progress of reading many images.

    Raises:
        InputError: The dataset is unknown, cannot be prepared, or has no images and masks.
    """
    name = mask_folders.tfds_of(dataset) or ""
    try:
        builder = tfds.builder_of(name, data_dir)
        image, mask = _features(name, builder)
        tfds.check_images(name, builder.info.features[image], how)
        found = tfds.prepared_splits(name, builder)
    except InputError as error:
        raise InputError(str(error).replace(f"--dataset={name}", f"--dataset={dataset}")) from error
    shape, features = builder.info.features[image].shape, builder.info.features
    target = Target(how.image_size or shape[:2], how.resize, how.channels or min(shape[-1], 3))
    counts = {part: builder.info.splits[split].num_examples for part, split in found.items()}
    mask_pairs.check_memory(dataset, sum(counts.values()), target)
    own = getattr(features[mask], "names", None)
    names = segmentation.check_names(dataset, own, class_names)
    parts, occurs = {}, np.zeros(256, np.int64)
    for part, split in found.items():
        read = [
            mask_pairs.decode(
                dataset, some, target, void_label, len(names) if names else None, show_progress
            )
            for some in _pairs(builder, split, image, mask)
        ]
        images, labels, found = zip(*read, strict=True)
        parts[part] = Split(np.concatenate(images), np.concatenate(labels))
        occurs += np.sum(found, axis=0)
    names = tuple(names or mask_pairs.numbered(dataset, occurs))
    train = parts[TRAIN]
    if TEST not in parts:
        alike = np.zeros(len(train.labels), np.int32)
        held_out = splits.choose_test(alike, how.test_fraction)
        return Parts(train.select(~held_out), train.select(held_out), names)
    return Parts(train, parts[TEST], names, parts.get(VALIDATION))


def _features(name: str, builder: Any) -> tuple[str, str]:
    """Returns the names of the image and of the mask."""
    import tensorflow_datasets

    features = builder.info.features
    images = {
        key: feature
        for key, feature in features.items()
        if isinstance(feature, tensorflow_datasets.features.Image)
    }
    found = [key for key, feature in images.items() if key != _IMAGE and feature.shape[-1] == 1]
    if _IMAGE not in images or len(found) != 1:
        raise InputError(
            f"--dataset={name} must have the feature {_IMAGE} and one mask, an image of one "
            f"channel; it has {', '.join(features)}."
        )
    return _IMAGE, found[0]


def _pairs(builder: Any, split: str, image: str, mask: str) -> Iterator[list[mask_pairs.Pair]]:
    """Yields the encoded images and masks of a split, some at a time, in the order of its files."""
    import tensorflow_datasets

    skip = tensorflow_datasets.decode.SkipDecoding()
    examples = builder.as_dataset(
        split=split,
        shuffle_files=False,
        read_config=tensorflow_datasets.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        decoders={image: skip, mask: skip},
    )
    some: list[mask_pairs.Pair] = []
    for number, example in enumerate(examples.as_numpy_iterator()):
        some.append(mask_pairs.Pair(f"{split} example {number}", example[image], example[mask]))
        if len(some) == _AT_A_TIME:
            yield some
            some = []
    if some:
        yield some
