"""The batches of `pipeline` under TensorFlow, as `tf.data.Dataset`.

Nothing here needs AutoGraph, whose conversion of the functions takes longer than tracing them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ban_tf.compat import iterators
from ban_tf.datasets import masks, normalization, pipeline, policies
from ban_tf.datasets.image_data import ImageData, Split

_AT_A_TIME = 2  # batches created in parallel, and as many prefetched

# One copy of each split's images and labels as tensors, shared by all pipelines.
_tensors: weakref.WeakKeyDictionary[Split, tf.Tensor] = weakref.WeakKeyDictionary()
_targets: weakref.WeakKeyDictionary[Split, tf.Tensor] = weakref.WeakKeyDictionary()


@tf.autograph.experimental.do_not_convert
def training_batches(
    data: ImageData,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    augment: str | bool,
    view_seed: int,
    views: int,
    teacher_logits: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    features: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    first_epoch: int = 0,
    first_step: int = 0,
    num_shards: int = 1,
    shard_range: range = range(1),
) -> tf.data.Dataset:
    """Returns the batches of a training from a step on; see `pipeline`."""
    steps = pipeline.steps_per_epoch(data, batch_size)
    examples = len(data.train.labels)
    images, labels = _images(data.train), _labels(data.train)
    normalize = _normalizer(data)

    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(examples), seed=tf.stack([tf.constant(seed, tf.int64), epoch])
        )
        chosen = order[: steps * batch_size]
        view = epoch % views
        drawn = _draw(augment, examples, view_seed, view)
        drawn = tf.nest.map_structure(lambda part: tf.gather(part, chosen), drawn)

        def share(part: tf.Tensor) -> tf.Tensor:
            part = tf.reshape(part, [steps, num_shards, -1])
            part = part[:, shard_range.start : shard_range.stop]
            return tf.reshape(part, [steps * len(shard_range), batch_size // num_shards])

        rows = tf.nest.map_structure(share, (chosen, *drawn))
        return tf.data.Dataset.from_tensor_slices(
            (tf.fill([steps * len(shard_range)], view), *rows)
        )

    def batch(view: tf.Tensor, chosen: tf.Tensor, *drawn: Any) -> tuple:
        targets = labels(chosen, augment, drawn)
        if features is not None:
            return features(view, chosen), targets
        picked = policies.apply(augment, images(chosen), drawn)
        if teacher_logits is not None:
            targets = {"labels": targets, "teacher_logits": teacher_logits(view, chosen)}
        return normalize(picked), targets

    indices = tf.data.Dataset.range(first_epoch, epochs).flat_map(shuffled)
    indices = indices.skip(first_step * len(shard_range))
    return _ahead(indices, batch)


@tf.autograph.experimental.do_not_convert
def view_batches(
    data: ImageData,
    *,
    batch_size: int,
    view_seed: int,
    view: int,
    augment: str | bool,
    first: int = 0,
) -> tf.data.Dataset:
    """Returns the training images of a view in order; see `pipeline`."""
    examples = len(data.train.labels)
    images = _images(data.train)
    normalize = _normalizer(data)
    drawn = _draw(augment, examples, view_seed, tf.constant(view, tf.int64))
    parts = tf.nest.map_structure(lambda part: part[first:], (tf.range(examples), *drawn))

    def batch(chosen: tf.Tensor, *drawn: Any) -> tf.Tensor:
        return normalize(policies.apply(augment, images(chosen), drawn))

    rows = tf.data.Dataset.from_tensor_slices(parts)
    return _ahead(rows.batch(batch_size), batch)


@tf.autograph.experimental.do_not_convert
def evaluation_batches(
    split: Split,
    data: ImageData,
    batch_size: int,
    teacher_logits: Callable[[tf.Tensor], tf.Tensor] | None = None,
    features: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.data.Dataset:
    """Returns all examples of a split in order; see `pipeline`."""
    images, labels = _images(split), _labels(split)
    normalize = _normalizer(data)

    def batch(chosen: tf.Tensor) -> tuple:
        targets = labels(chosen)
        if features is not None:
            return features(chosen), targets
        if teacher_logits is not None:
            targets = {"labels": targets, "teacher_logits": teacher_logits(chosen)}
        return normalize(images(chosen)), targets

    rows = tf.data.Dataset.range(len(split.labels), output_type=tf.int32)
    return _ahead(rows.batch(batch_size), batch)


@tf.autograph.experimental.do_not_convert
def image_batches(split: Split, data: ImageData, batch_size: int, first: int) -> tf.data.Dataset:
    """Returns the images of a split in order; see `pipeline`."""
    images = evaluation_batches(split, data, batch_size).map(lambda images, labels: images)
    return images.unbatch().skip(first).batch(batch_size)


def _ahead(rows: tf.data.Dataset, batch: Callable[..., Any]) -> tf.data.Dataset:
    """Creates batches in order, and prefetches them."""
    if tf.config.list_physical_devices("GPU"):
        return rows.map(batch, tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)
    # A processor that also trains needs few batches per second.
    return iterators.untuned(rows.map(batch, _AT_A_TIME, deterministic=True).prefetch(_AT_A_TIME))


def _draw(augment: str | bool, examples: int, seed: int, view: tf.Tensor) -> tuple[Any, ...]:
    # Epochs and views both count from zero: the sign makes their seeds different.
    place = tf.stack([tf.constant(seed, tf.int64), -1 - view])
    return policies.draw(augment, examples, tf.cast(place, tf.int32))


def _images(split: Split) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from indices `[batch]` to images."""
    if split.is_read_by_rows:

        def read(chosen: tf.Tensor) -> tf.Tensor:
            rows = tf.numpy_function(
                lambda rows: np.asarray(split.images[rows]), [chosen], tf.uint8, stateful=False
            )
            rows.set_shape([chosen.shape[0], *split.images.shape[1:]])
            return rows

        return read
    if split not in _tensors:
        with tf.device("cpu"):
            _tensors[split] = tf.constant(split.images)
    images = _tensors[split]
    return lambda chosen: tf.gather(images, chosen)


def _labels(split: Split) -> Callable[..., tf.Tensor]:
    """Returns a function from indices `[batch]`, and augmentations as drawn, to labels."""
    if split not in _targets:
        with tf.device("cpu"):
            _targets[split] = tf.constant(split.labels)
    labels = _targets[split]

    def read(chosen: tf.Tensor, augment: str | bool = "none", drawn: Any = ()) -> tf.Tensor:
        found = tf.gather(labels, chosen)
        if len(labels.shape) < 3:  # no masks
            return found
        found = tf.cast(policies.apply_to_masks(augment, found, drawn), tf.int32)
        return tf.where(found == masks.VOID, -1, found)

    return read


def _normalizer(data: ImageData) -> Callable[[Any], tf.Tensor]:
    height, width, channels = data.input_shape
    scale, shift = normalization.factors(data.mean, data.std, width)

    def normalize(images: tf.Tensor) -> tf.Tensor:
        rows = tf.cast(tf.reshape(images, [-1, height, width * channels]), tf.float32)
        return tf.ensure_shape(tf.reshape(rows * scale + shift, tf.shape(images)), images.shape)

    return normalize
