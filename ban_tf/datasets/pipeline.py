"""Batches: shuffled and augmented for training, in order for evaluation.

Shuffling depends on (seed, epoch) and augmentation on (view seed, view, example), so that a
pipeline started at any step equals an uninterrupted one, and a view of the data can be repeated in
another order. Epoch e has view e, or e modulo the number of views if there are fewer. Only indices
and draws are shuffled and skipped; images are gathered batch by batch from memory, or from disk if
they do not fit into memory.

Under TensorFlow batches are a `tf.data.Dataset`, otherwise `numpy_batches.NumpyBatches`; their
content is the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ban_tf.datasets import batch_sizes
from ban_tf.datasets.image_data import ImageData, Split

# Incremented when the views of a seed change, so that old recordings are not used.
VIEW_FORMAT = 1

# Recorded outputs, float32 `[batch, units]`, given a view (scalar) and the indices of examples
# `[batch]`: both are tensors under TensorFlow, otherwise NumPy's.
Recorded = Callable[[Any, Any], Any]


def steps_per_epoch(data: ImageData, batch_size: int) -> int:
    """Returns the number of full batches in an epoch.

    Raises:
        InputError: There are fewer examples than in a batch.
    """
    return batch_sizes.full_batches(len(data.train.labels), batch_size)


def training_batches(
    data: ImageData,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    augment: str | bool,
    view_seed: int | None = None,
    views: int | None = None,
    teacher_logits: Recorded | None = None,
    features: Recorded | None = None,
    first_epoch: int = 0,
    first_step: int = 0,
    num_shards: int = 1,
    shard_range: range = range(1),
) -> Any:
    """Returns the batches of a training from a step on.

    Args:
        data: The data, of which the training split is used.
        batch_size: Examples in a batch; the remainder of an epoch's permutation is dropped.
        epochs: Epochs of the whole training.
        seed: The seed of shuffling.
        augment: One of `policies.POLICIES`; true means "crop".
        view_seed: The seed of the augmentation; `seed` by default.
        views: The number of different views of the data; one per epoch by default.
        teacher_logits: Returns the teacher's recorded logits.
        features: Returns what takes the place of the images.
        first_epoch: The first epoch.
        first_step: The first step of that epoch.
        num_shards: How many replicas share each batch; they must divide it.
        shard_range: Which of these shards to yield, one after the other.

    Returns:
        Batches (images, labels): normalized float32 `[batch, height, width, channels]` and
        int32 `[batch]`; with `teacher_logits`, the labels are as for `RecordedTeacher`. Labels of
        pixels are int32 `[batch, height, width]`, augmented as the images, and -1 where a pixel
        has no class.

    Raises:
        InputError: There are fewer examples than in a batch.
    """
    steps_per_epoch(data, batch_size)
    return _of_backend().training_batches(
        data,
        batch_size=batch_size,
        epochs=epochs,
        seed=seed,
        augment=augment,
        view_seed=seed if view_seed is None else view_seed,
        views=views or epochs,
        teacher_logits=teacher_logits,
        features=features,
        first_epoch=first_epoch,
        first_step=first_step,
        num_shards=num_shards,
        shard_range=shard_range,
    )


def view_batches(
    data: ImageData,
    *,
    batch_size: int,
    view_seed: int,
    view: int,
    augment: str | bool,
    first: int = 0,
) -> Any:
    """Returns the training images of a view in order, augmented as in `training_batches`.

    Args:
        data: Whose training split is read.
        batch_size: Examples in a batch; the last may be smaller.
        view_seed: As for `training_batches`.
        view: The view.
        augment: As for `training_batches`.
        first: The first example.

    Returns:
        Batches of normalized float32 images `[batch, height, width, channels]`.
    """
    return _of_backend().view_batches(
        data,
        batch_size=batch_size,
        view_seed=view_seed,
        view=view,
        augment=augment,
        first=first,
    )


def evaluation_batches(
    split: Split,
    data: ImageData,
    batch_size: int,
    teacher_logits: Callable[[Any], Any] | None = None,
    features: Callable[[Any], Any] | None = None,
) -> Any:
    """Returns all examples of a split in order, normalized; the last batch may be smaller.

    Args:
        split: One of the splits of `data`.
        data: The data, with the statistics for normalization.
        batch_size: Examples in a batch.
        teacher_logits: Returns the teacher's recorded logits, given indices of examples `[batch]`.
        features: Returns what takes the place of the images, given the same.
    """
    return _of_backend().evaluation_batches(split, data, batch_size, teacher_logits, features)


def image_batches(split: Split, data: ImageData, batch_size: int, first: int) -> Any:
    """Returns the images of a split in order as `evaluation_batches` does, without labels.

    Args:
        split: One of the splits of `data`.
        data: The data.
        batch_size: Examples in a batch.
        first: The first example.
    """
    return _of_backend().image_batches(split, data, batch_size, first)


def with_distributions(batches: Any, num_classes: int) -> Any:
    """Returns batches of the same inputs, whose labels are distributions, as mixed ones are.

    Args:
        batches: Batches of inputs and classes.
        num_classes: The number of classes.
    """

    def one_hot(inputs: Any, labels: Any) -> tuple[Any, Any]:
        if isinstance(labels, np.ndarray):
            return inputs, np.eye(num_classes, dtype=np.float32)[labels]
        return inputs, keras.ops.one_hot(labels, num_classes)

    return batches.map(one_hot)


def mixing() -> Any:
    """Returns the module that mixes the examples of batches under Keras's backend."""
    return _module("mixing", "numpy_mixing")


def _of_backend() -> Any:
    """Returns the module that makes the batches of Keras's backend."""
    return _module("tensor_pipeline", "numpy_pipeline")


def _module(on_tensorflow: str, otherwise: str) -> Any:
    name = on_tensorflow if keras.backend.backend() == "tensorflow" else otherwise
    return importlib.import_module(f"ban_tf.datasets.{name}")
