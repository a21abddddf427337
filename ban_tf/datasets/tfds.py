"""Image-classification datasets of TensorFlow Datasets.

Errors are raised before anything is downloaded if possible: an unknown name, features other than
labeled images, images of different sizes without a size to bring them to, no network. Only then is
the data prepared, if necessary, and read in the order of its files; see `tfds_reading`. Under other
backends than TensorFlow, `tfds_files` reads what is prepared.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from ban_tf.datasets import disk_cache, folder_hints, splits, tfds_files, tfds_reading
from ban_tf.datasets.decoding import Target
from ban_tf.datasets.folder_layout import PARTS, TEST, TRAIN, VALIDATION
from ban_tf.datasets.image_data import Parts, Reading, Split
from ban_tf.datasets.tfds_reading import Keys
from ban_tf.errors import InputError

_NETWORK_TIMEOUT = 10  # seconds


def load(
    name: str,
    data_dir: str | None,
    train_examples: int | None,
    how: Reading,
    several: bool = False,
) -> Parts:
    """Returns the images of a dataset.

    Its own validation data are used if it has test data, too; without test data they are the test
    data, and without either, a part of the training data is.

    Args:
        name: The name in TFDS, for example "cifar10".
        data_dir: The directory of TFDS data; TFDS's default if None.
        train_examples: Use only this number of first training examples.
        how: How they are read.
        several: Whether images have several labels, a sequence of them, in place of a class.

    Raises:
        InputError: The dataset is unknown, cannot be downloaded, or is not one of labeled images
            with a training split.
    """
    kind = tfds_reading.Source
    if keras.backend.backend() == "tensorflow":
        builder = builder_of(name, data_dir)
        keys = _keys(name, builder.info, several)
        check_images(name, builder.info.features[keys.image], how)
        found = prepared_splits(name, builder)
        class_names = tfds_reading.class_names(builder, keys)
    else:
        kind = tfds_files.FileSource
        builder, keys, class_names = tfds_files.open_prepared(name, data_dir)
        check_images(name, builder.info.features[keys.image], how)
        found = _splits(name, builder.info.splits)
    counts = {part: builder.info.splits[split].num_examples for part, split in found.items()}
    if train_examples is not None and TEST in found:
        if not 0 < train_examples <= counts[TRAIN]:
            raise InputError(
                f"--train_examples={train_examples} must be between 1 and the {counts[TRAIN]} "
                f"training examples of --dataset={name}."
            )
        if not how.skip_bad_files:  # of those that are left, the caller takes the first
            counts[TRAIN] = train_examples
    target = _target(builder.info.features[keys.image].shape, how)
    source = kind(name, builder, keys, target, class_names, how.skip_bad_files)
    on_disk = disk_cache.is_wanted(how.cache, source.bytes(sum(counts.values())))
    read: dict[str, Split] = {}
    skipped: list[str] = []
    for part, split in found.items():
        read[part], left_out = source.read(split, counts[part], on_disk, how.show_progress)
        skipped += left_out
    train, why = read[TRAIN], tuple(skipped)
    if TEST not in read:
        held_out = splits.choose_test(train.labels, how.test_fraction)
        parts = train.select(~held_out), train.select(held_out)
        return Parts(*parts, class_names, skipped=why)
    return Parts(train, read[TEST], class_names, read.get(VALIDATION), why)


def prepared_splits(name: str, builder: Any) -> dict[str, str]:
    """Prepares a dataset, if necessary, and returns the split of each part.

    Args:
        name: The name of the dataset.
        builder: Its builder.

    Raises:
        InputError: It cannot be prepared, or has no training split.
    """
    # Checked here because `is_prepared` logs a warning if there is nothing.
    if not (builder.data_path / "dataset_info.json").exists():
        _prepare(name, builder)
    return _splits(name, builder.info.splits)


def _splits(name: str, there: Collection[str]) -> dict[str, str]:
    """Returns the split of each part."""
    found = {PARTS[split]: split for split in there if split in PARTS}
    if TRAIN not in found:
        raise InputError(
            f"--dataset={name} must have the split train; it has {', '.join(there) or 'none'}."
        )
    if TEST not in found and VALIDATION in found:
        found[TEST] = found.pop(VALIDATION)
    return found


def _target(shape: tuple[int | None, ...], how: Reading) -> Target | None:
    """Returns what images are brought to; None if they are read unchanged."""
    skip = how.skip_bad_files and shape[-1] in (1, 3)  # TFDS itself stops at a bad image
    size, (height, width, depth) = how.image_size, shape
    if size is None and skip and height and width:
        size = (height, width)
    if size is None or (shape == (*size, how.channels or depth) and not skip):
        return None
    return Target(size, how.resize, how.channels or (1 if depth == 1 else 3))


def builder_of(name: str, data_dir: str | None) -> Any:
    """Returns the builder of a dataset.

    Args:
        name: Its name.
        data_dir: The directory of TFDS data.

    Raises:
        InputError: It is unknown.
    """
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        forgotten = folder_hints.forgotten(name)
        if forgotten:
            raise InputError(f"--dataset={name} is not a TFDS dataset. {forgotten}") from error
        close = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise InputError(
            f"--dataset={name} is unknown; {hint}Give digits, the name of a TFDS dataset, "
            "folder:PATH or csv:FILE."
        ) from error
    except Exception as error:  # malformed names, configs and versions raise different types
        why = folder_hints.forgotten(name) or tfds_reading.first_line(error)
        raise InputError(f"--dataset={name} cannot be used: {why}") from error


def _keys(name: str, info: Any, several: bool) -> Keys:
    """Returns the names of the image, and of the label or the labels."""
    import tensorflow_datasets as tfds

    features, supervised = info.features, info.supervised_keys
    known = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    possible = [("image", "label")]
    if isinstance(supervised, tuple) and all(isinstance(key, str) for key in supervised):
        possible.insert(0, supervised[:2])
    images = [key for key, feature in known.items() if isinstance(feature, tfds.features.Image)]
    lists = [key for key, feature in known.items() if tfds_reading.is_list(feature)]
    if several:
        if len(images) != 1 or len(lists) != 1:
            raise InputError(
                f"--dataset={name} must have one image and one sequence of class labels; it has "
                f"{', '.join(known) or 'neither'}."
            )
        return Keys(images[0], lists[0])
    labels = (tfds.features.ClassLabel, tfds.features.Text)
    for image, label in possible:
        if isinstance(known.get(image), tfds.features.Image) and isinstance(
            known.get(label), labels
        ):
            return Keys(image, label)
    raise InputError(
        f"--dataset={name} is not an image-classification dataset: it needs an image and a "
        f"class label, and has {', '.join(known) or 'neither'}."
        + (f" multilabel:tfds:{name} reads its {lists[0]}." if images and lists else "")
    )


def check_images(name: str, image: Any, how: Reading) -> None:
    """Checks that images of a feature can be read.

    Args:
        name: The name of the dataset.
        image: The feature.
        how: How they are read.

    Raises:
        InputError: They have more than eight bits, or different sizes and are brought to none.
    """
    if image.np_dtype != np.uint8:
        raise InputError(
            f"--dataset={name} must have images of 8 bits per channel; it has "
            f"{np.dtype(image.np_dtype).name}."
        )
    if None in image.shape and how.image_size is None:
        raise InputError(
            f"--dataset={name} has images of different sizes; choose one to which they are "
            "brought, such as --image_size=224."
        )


def _prepare(name: str, builder: Any) -> None:
    # <root>/<name>[/<config>]/<version>
    root = builder.data_path.parents[builder.info.full_name.count("/")]
    if not _reachable(builder, root / "downloads"):
        why = "it would have to be downloaded, and there is no network"
        raise InputError(_absent(name, root, why))
    try:
        builder.download_and_prepare()
    except Exception as error:
        why = f"preparing it failed ({tfds_reading.first_line(error)})"
        raise InputError(_absent(name, root, why)) from error


def _reachable(builder: Any, downloads: Any) -> bool:
    """Returns whether the source of a dataset can be reached; TFDS itself retries for minutes.

    Uses the user's proxy if there is one. Does not check if the download already exists, or must
    be provided manually.
    """
    import requests

    urls = [url for url in builder.url_infos or () if url.startswith("http")]
    if not urls or builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return True
    for pattern in ("*.INFO", "*/*.INFO"):
        if any(
            url in note.read_text(encoding="utf-8", errors="replace")
            for note in downloads.glob(pattern)
            for url in urls
        ):
            return True
    try:
        requests.head(urls[0], timeout=_NETWORK_TIMEOUT)
    except (requests.ConnectionError, requests.Timeout):
        return False
    return True


def _absent(name: str, root: Any, why: str) -> str:
    return (
        f"--dataset={name} is not in {root}: {why}. Give the directory that holds it with "
        "--data_dir."
    )
