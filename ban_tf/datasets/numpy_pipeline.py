"""The batches of `pipeline` under other backends than TensorFlow, as `NumpyBatches`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ban_tf.datasets import numpy_batches, numpy_policies, pipeline, stateless_random
from ban_tf.datasets.device_images import Preparation
from ban_tf.datasets.image_data import ImageData, Split
from ban_tf.datasets.numpy_batches import NumpyBatches


def training_batches(
    data: ImageData,
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    augment: str | bool,
    view_seed: int,
    views: int,
    teacher_logits: pipeline.Recorded | None = None,
    features: pipeline.Recorded | None = None,
    first_epoch: int = 0,
    first_step: int = 0,
    num_shards: int = 1,
    shard_range: range = range(1),
) -> NumpyBatches:
    """Returns the batches of a training from a step on; see `pipeline`."""
    steps = pipeline.steps_per_epoch(data, batch_size)
    examples = len(data.train.labels)
    prepare = Preparation(data.mean, data.std, augment)
    start = first_epoch * steps + first_step

    @functools.lru_cache(maxsize=2)  # the epoch before is still read when the next begins
    def drawn_in(epoch: int) -> tuple[np.ndarray, int, tuple[Any, ...]]:
        order = stateless_random.permutation(examples, (seed, epoch))
        view = epoch % views
        return order, view, _draw(augment, examples, view_seed, view)

    def batch(number: int) -> tuple[Any, Any]:
        epoch, step = divmod(start + number, steps)
        order, view, draws = drawn_in(epoch)
        rows = order[step * batch_size : (step + 1) * batch_size]
        chosen = numpy_batches.part(rows, num_shards, shard_range)
        drawn = numpy_policies.select(draws, chosen)
        targets: Any = _labels(data.train, chosen, prepare, drawn)
        if features is not None:
            return features(view, chosen), targets
        images = prepare.images(_images(data.train, chosen), drawn)
        if teacher_logits is not None:
            targets = {"labels": targets, "teacher_logits": teacher_logits(view, chosen)}
        return images, targets

    left = (epochs - first_epoch) * steps - first_step
    return NumpyBatches(batch, None if epochs >= 2**31 else left)


def view_batches(
    data: ImageData,
    *,
    batch_size: int,
    view_seed: int,
    view: int,
    augment: str | bool,
    first: int = 0,
) -> NumpyBatches:
    """Returns the training images of a view in order; see `pipeline`."""
    examples = len(data.train.labels)
    draws = _draw(augment, examples, view_seed, view)
    prepare = Preparation(data.mean, data.std, augment)

    def batch(chosen: np.ndarray) -> Any:
        drawn = numpy_policies.select(draws, chosen)
        return prepare.images(_images(data.train, chosen), drawn)

    return _in_order(batch, first, examples, batch_size)


def evaluation_batches(
    split: Split,
    data: ImageData,
    batch_size: int,
    teacher_logits: Callable[[np.ndarray], np.ndarray] | None = None,
    features: Callable[[np.ndarray], np.ndarray] | None = None,
) -> NumpyBatches:
    """Returns all examples of a split in order; see `pipeline`."""
    prepare = Preparation(data.mean, data.std)

    def batch(chosen: np.ndarray) -> tuple[Any, Any]:
        targets: Any = _labels(split, chosen, prepare)
        if features is not None:
            return features(chosen), targets
        if teacher_logits is not None:
            targets = {"labels": targets, "teacher_logits": teacher_logits(chosen)}
        return prepare.images(_images(split, chosen)), targets

    return _in_order(batch, 0, len(split.labels), batch_size)


def image_batches(split: Split, data: ImageData, batch_size: int, first: int) -> NumpyBatches:
    """Returns the images of a split in order; see `pipeline`."""
    prepare = Preparation(data.mean, data.std)
    return _in_order(
        lambda chosen: prepare.images(_images(split, chosen)), first, len(split.labels), batch_size
    )


def _in_order(
    batch: Callable[[np.ndarray], Any], first: int, end: int, batch_size: int
) -> NumpyBatches:
    """Returns the batches of the examples from one on; the last may be smaller."""

    def numbered(number: int) -> Any:
        start = first + number * batch_size
        return batch(np.arange(start, min(start + batch_size, end)))

    return NumpyBatches(numbered, -(-(end - first) // batch_size))


def _draw(augment: str | bool, examples: int, seed: int, view: int) -> tuple[Any, ...]:
    # Epochs and views both count from zero: the sign makes their seeds different.
    return numpy_policies.draw(augment, examples, (seed, -1 - view))


def _images(split: Split, chosen: np.ndarray) -> np.ndarray:
    return np.asarray(split.images[chosen])


def _labels(split: Split, chosen: np.ndarray, prepare: Preparation, drawn: Any = ()) -> Any:
    found = np.asarray(split.labels[chosen])
    return found if found.ndim < 3 else prepare.masks(found, drawn)
