"""Image-classification data sets of TensorFlow Datasets."""

from __future__ import annotations

import difflib
import socket
from typing import Any

import numpy as np

from ban_tf.datasets.image_data import Split

_BATCH = 1000


def load(
    name: str, data_dir: str | None, train_examples: int | None
) -> tuple[Split, Split, tuple[str, ...]]:
    """Returns training data, test data and the names of the classes.

    Args:
        name: As TFDS knows it, for example "cifar10".
        data_dir: Where TFDS keeps its data; its own default if None.
        train_examples: The first so many training examples only.

    Raises:
        ValueError: The data set is unknown, not there and not to be had, or not one of images of
            one size with labels, in a training and a test split.
    """
    builder = _builder(name, data_dir)
    features = builder.info.features
    if not {"image", "label"} <= set(features) or not {"train", "test"} <= set(builder.info.splits):
        raise ValueError(
            f"--dataset={name} is not an image-classification data set with an image, a label, a "
            "train and a test split."
        )
    if None in features["image"].shape:
        raise ValueError(
            f"--dataset={name} has images of different sizes; bring them to one size as "
            "--dataset=folder:PATH."
        )
    available = builder.info.splits["train"].num_examples
    if train_examples is not None and not 0 < train_examples <= available:
        raise ValueError(
            f"--train_examples={train_examples} must be between 1 and the {available} training "
            f"examples of --dataset={name}."
        )
    train = "train" if train_examples is None else f"train[:{train_examples}]"
    return _read(builder, train), _read(builder, "test"), tuple(features["label"].names)


def _builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        close = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(
            f"--dataset={name} is unknown; {hint}Give digits, the name of a TFDS data set, or "
            "folder:PATH."
        ) from error
    if not builder.is_prepared():
        _check_network(name, builder)
        try:
            builder.download_and_prepare()
        except Exception as error:
            raise ValueError(_absent(name, builder, f"preparing it failed: {error}")) from error
    return builder


def _check_network(name: str, builder: Any) -> None:
    """Finds out in seconds what TFDS would find out after many tries."""
    try:
        socket.create_connection(("storage.googleapis.com", 443), timeout=5).close()
    except OSError as error:
        raise ValueError(
            _absent(name, builder, "it would have to be downloaded, and there is no network")
        ) from error


def _absent(name: str, builder: Any, why: str) -> str:
    return (
        f"--dataset={name} is not in {builder.data_dir}: {why}. Give the directory that holds it "
        "with --data_dir."
    )


def _read(builder: Any, split: str) -> Split:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    # File order, so that "the first N" and every seed mean the same on every machine.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    batches = (
        builder.as_dataset(split=split, shuffle_files=False, read_config=config)
        .map(lambda example: (example["image"], example["label"]), tf.data.AUTOTUNE)
        .batch(_BATCH)
        .prefetch(tf.data.AUTOTUNE)
    )
    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return Split(np.concatenate(images), np.concatenate(labels).astype(np.int32))
