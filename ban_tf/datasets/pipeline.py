"""Batches: shuffled and augmented for training, in order for evaluation.

Shuffling draws from (seed, epoch) and augmentation from (seed, step), so that a pipeline
started anywhere goes on exactly as one that never stopped. Only indices are shuffled and
skipped; images are gathered from memory a batch at a time.
"""

from __future__ import annotations

import weakref

import tensorflow as tf

from ban_tf.datasets import augmentation
from ban_tf.datasets.image_data import ImageData, Split

# One copy of each split as tensors, however many pipelines read it.
_tensors: weakref.WeakKeyDictionary[Split, tuple[tf.Tensor, tf.Tensor]] = (
    weakref.WeakKeyDictionary()
)


def steps_per_epoch(data: ImageData, batch_size: int) -> int:
    """Returns how many full batches an epoch has.

    Raises:
        ValueError: There are fewer examples than a batch holds.
    """
    examples = len(data.train.labels)
    if batch_size > examples:
        raise ValueError(
            f"--batch_size={batch_size} is more than the {examples} training examples; "
            "choose a smaller batch."
        )
    return examples // batch_size


def training_batches(
    data: ImageData,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    augment: bool,
    first_epoch: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Returns the batches of a training from some point on.

    Args:
        data: Whose training split is read.
        batch_size: Examples in a batch; what is left of an epoch's permutation is dropped.
        epochs: Epochs of the whole training.
        seed: Where shuffling and augmentation come from.
        augment: Whether to crop and flip.
        first_epoch: The epoch to start with.
        first_step: The step of that epoch to start with.

    Returns:
        A data set of (images, labels): normalised float32 `[batch, height, width, channels]` and
        int32 `[batch]`.

    Raises:
        ValueError: There are fewer examples than a batch holds.
    """
    steps = steps_per_epoch(data, batch_size)
    examples = len(data.train.labels)
    images, labels = _as_tensors(data.train)
    normalise = _normaliser(data)

    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(examples), seed=tf.stack([tf.constant(seed, tf.int64), epoch])
        )
        rows = tf.reshape(order[: steps * batch_size], [steps, batch_size])
        return tf.data.Dataset.from_tensor_slices(rows)

    def batch(step: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        picked = tf.gather(images, chosen)
        if augment:
            # Epochs and steps both count from zero: their draws are kept apart by the sign.
            draws = tf.stack([tf.constant(seed, tf.int64), -1 - step])
            picked = augmentation.apply(
                picked, augmentation.draw(batch_size, tf.cast(draws, tf.int32))
            )
        return normalise(picked), tf.gather(labels, chosen)

    indices = (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(shuffled)
        .skip(first_step)
        .enumerate(first_epoch * steps + first_step)
    )
    return indices.map(batch, tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(split: Split, data: ImageData, batch_size: int) -> tf.data.Dataset:
    """Returns all examples of a split in order, normalised; the last batch may be smaller.

    Args:
        split: One of the splits of `data`.
        data: Whose statistics normalise the images.
        batch_size: Examples in a batch.
    """
    normalise = _normaliser(data)
    return (
        tf.data.Dataset.from_tensor_slices(_as_tensors(split))
        .batch(batch_size)
        .map(lambda images, labels: (normalise(images), labels), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _as_tensors(split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    if split not in _tensors:
        with tf.device("cpu"):
            _tensors[split] = (tf.constant(split.images), tf.constant(split.labels))
    return _tensors[split]


def _normaliser(data: ImageData):
    # (x / 255 - mean) / std as one multiplication and one addition.
    scale, shift = 1.0 / (255.0 * data.std), -data.mean / data.std
    return lambda images: tf.cast(images, tf.float32) * scale + shift
