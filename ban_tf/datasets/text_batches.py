"""Batches of text for truncated backpropagation: each row continues that of the last batch.

A text is split into as many streams as a batch has rows. Batch t has steps t·n to (t + 1)·n of
every stream, so that a stateful network reads each stream from start to end. Nothing is shuffled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ban_tf.datasets.numpy_batches import NumpyBatches
from ban_tf.errors import InputError

_AHEAD = 2  # prefetched batches

# A teacher's recorded logits `[rows, unroll, words]`, given the numbers of rows: those of a batch
# are numbered on from those of the batch before.
Recorded = Callable[[Any], Any]


def training_steps(tokens: np.ndarray, batch_size: int, unroll: int) -> int:
    """Returns the number of training batches in a text.

    Raises:
        InputError: There are none.
    """
    steps = (len(tokens) - 1) // batch_size // unroll
    if steps < 1:
        raise InputError(
            f"--batch_size={batch_size} streams of --unroll={unroll} steps need "
            f"{batch_size * unroll + 1} words; the training text has {len(tokens)}."
        )
    return steps


def training_batches(
    tokens: np.ndarray,
    batch_size: int,
    unroll: int,
    *,
    first_step: int | None = None,
    teacher_logits: Recorded | None = None,
    num_shards: int = 1,
    shard_range: range = range(1),
) -> Any:
    """Returns one epoch, without the remaining words at the end of the text.

    Args:
        tokens: int32 `[tokens]`.
        batch_size: The number of streams.
        unroll: Steps in a batch.
        first_step: If given, the text is repeated without end, starting at this step.
        teacher_logits: Returns the teacher's recorded logits.
        num_shards: How many replicas share each batch; they must divide it.
        shard_range: Which of these shards to yield, one after the other.

    Returns:
        Batches of (words, next words), both int32 `[batch, unroll]`; with `teacher_logits`, the
        next words are labels as for `RecordedTeacher`.
    """
    steps = training_steps(tokens, batch_size, unroll)
    length = steps * unroll
    words = _streams(tokens[: batch_size * length], batch_size)
    following = _streams(tokens[1 : batch_size * length + 1], batch_size)
    cut = [_cut(words, unroll), _cut(following, unroll)]
    first = None if first_step is None else first_step * len(shard_range)
    return _batches(cut, teacher_logits, num_shards, shard_range, first=first, ahead=True)


def evaluation_batches(
    tokens: np.ndarray,
    batch_size: int,
    unroll: int,
    *,
    teacher_logits: Recorded | None = None,
    num_shards: int = 1,
    shard_range: range = range(1),
) -> Any:
    """Returns every word except the first once, to be predicted from the words before it.

    Args:
        tokens: int32 `[tokens]`.
        batch_size: The number of streams.
        unroll: Steps in a batch.
        teacher_logits: As for `training_batches`.
        num_shards: As for `training_batches`.
        shard_range: As for `training_batches`.

    Returns:
        Batches of (words, next words, weights), all `[batch, unroll]`; weights are 0.0 for
        padding at the end of a stream, otherwise 1.0.
    """
    predicted = len(tokens) - 1
    length = evaluation_steps(tokens, batch_size, unroll) * unroll
    missing = (0, batch_size * length - predicted)
    arrays = (
        np.pad(tokens[:-1], missing),
        np.pad(tokens[1:], missing),
        np.pad(np.ones(predicted, np.float32), missing),
    )
    cut = [_cut(_streams(array, batch_size), unroll) for array in arrays]
    return _batches(cut, teacher_logits, num_shards, shard_range)


def evaluation_steps(tokens: np.ndarray, batch_size: int, unroll: int) -> int:
    """Returns the number of batches in `evaluation_batches`."""
    return -(-(len(tokens) - 1) // (batch_size * unroll))


def _batches(
    batches: list[np.ndarray],
    teacher_logits: Recorded | None,
    num_shards: int,
    shard_range: range,
    *,
    first: int | None = None,
    ahead: bool = False,
) -> Any:
    """Returns shards of batches as the backend reads them, with a recorded teacher if given.

    Args:
        batches: Arrays `[batches, batch, unroll]`.
        teacher_logits: As for `training_batches`.
        num_shards: As for `training_batches`.
        shard_range: As for `training_batches`.
        first: The batch of a shard to start with if they repeat without end; None for one pass.
        ahead: Whether batches are prefetched.
    """
    steps, batch_size, _ = batches[0].shape
    rows = np.arange(steps * batch_size, dtype=np.int32).reshape(steps, batch_size)
    cut = tuple(_part(array, num_shards, shard_range) for array in (rows, *batches))

    def taught(rows: Any, words: Any, following: Any, *weights: Any) -> tuple:
        if teacher_logits is None:
            return words, following, *weights
        labels = {"labels": following, "teacher_logits": teacher_logits(rows)}
        return words, labels, *weights

    if keras.backend.backend() != "tensorflow":
        count = len(cut[0])

        def batch(number: int) -> tuple:
            return taught(*(part[((first or 0) + number) % count] for part in cut))

        return NumpyBatches(batch, count if first is None else None)
    import tensorflow as tf

    from ban_tf.compat import iterators

    if teacher_logits is None:
        dataset = tf.data.Dataset.from_tensor_slices(cut[1:])
    else:
        dataset = tf.data.Dataset.from_tensor_slices(cut).map(taught)
    if first is not None:
        dataset = dataset.repeat().skip(first)
    return iterators.untuned(dataset.prefetch(_AHEAD) if ahead else dataset)


def _streams(tokens: np.ndarray, batch_size: int) -> np.ndarray:
    return tokens.reshape(batch_size, -1)


def _cut(streams: np.ndarray, unroll: int) -> np.ndarray:
    """Returns streams `[batch, length]` as `[batches, batch, unroll]`."""
    return streams.reshape(len(streams), -1, unroll).swapaxes(0, 1)


def _part(batches: np.ndarray, num_shards: int, shard_range: range) -> np.ndarray:
    """Returns shards of each batch, `[batches · len(shard_range), batch / num_shards, ...]`."""
    steps, batch_size, *inner = batches.shape
    shared = batches.reshape(steps, num_shards, batch_size // num_shards, *inner)[
        :, shard_range.start : shard_range.stop
    ]
    return shared.reshape(-1, batch_size // num_shards, *inner)
