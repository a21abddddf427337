"""The forms of labels: class indices, distributions over classes, and missing labels.

A label of `VOID` (-1) is missing, and so is a row of zeros, which a one-hot encoding makes
of -1. Such a position has no loss, no weight among the samples of its batch and no gradient.

Values that are neither a class nor a distribution raise an error,
and where a compiled program cannot (XLA, JAX) the loss is NaN.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import keras
from keras import ops

from ban_tf.compat.tracing import is_symbolic
from ban_tf.errors import InputError

VOID = -1
# Tolerance for the sum of a label's probabilities: bfloat16 has 8 bits.
SUM_TOLERANCE = 0.02


class LabelForm(NamedTuple):
    """Parsed labels.

    Attributes:
        values: Class indices `[batch, ...]` as int32, 0 if missing; or distributions
            `[batch, ..., classes]`.
        is_index: Whether they are class indices.
        valid: Whether there is a label, bool `[batch, ...]`.
        readable: Whether the label is a class, a distribution or void, bool `[batch, ...]`.
    """

    values: Any
    is_index: bool
    valid: Any
    readable: Any


def read(labels: Any, logits: Any) -> LabelForm:
    """Reads labels in any form.

    Args:
        labels: Integers `[batch, ...]` or `[batch, ..., 1]` of any dtype, or distributions
            `[batch, ..., classes]`; distinguished by their shape. With two classes, floats between
            0 and 1 instead of integers are the probability of the second class.
        logits: `[batch, ..., classes]`.

    Raises:
        InputError: The shapes do not match, or there are no labels.
    """
    if labels is None:
        raise InputError("`labels` is None, but this objective needs labels.")
    labels = as_numbers(labels)
    classes = logits.shape[-1]
    if is_distribution(labels.shape, logits.shape):
        return _read_distributions(labels)
    if len(labels.shape) == len(logits.shape) and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, axis=-1)
    if len(labels.shape) != len(logits.shape) - 1:
        raise InputError(
            "`labels` must be integers [batch, ...] or distributions [batch, ..., classes] for "
            f"logits of shape {tuple(logits.shape)}. Received shape: {tuple(labels.shape)}"
        )
    if classes == 2 and keras.backend.is_float_dtype(labels.dtype):
        return _read_probabilities(labels)
    return _read_indices(labels, classes)


def valid(labels: Any, logits: Any) -> Any:
    """Returns where there is a label, bool `[batch, ...]`, whether or not it can be read.

    Args:
        labels: As for `read`.
        logits: `[batch, ..., classes]`.

    Returns:
        The mask; None if the labels have no shape of labels.
    """
    labels = as_numbers(labels)
    if is_distribution(labels.shape, logits.shape):
        return ops.any(labels != 0, axis=-1)
    if len(labels.shape) == len(logits.shape) and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, axis=-1)
    return None if len(labels.shape) != len(logits.shape) - 1 else labels != VOID


def as_numbers(labels: Any) -> Any:
    """Returns labels in a dtype that can represent every class index and -1.

    Bool and small integers become int32: a uint8 can represent neither -1 nor class 300, and bool
    has no arithmetic. 64-bit integers and floats are unchanged.

    Args:
        labels: An array or tensor of any dtype.
    """
    labels = ops.convert_to_tensor(labels)
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if keras.backend.is_float_dtype(dtype) or dtype in ("int32", "int64"):
        return labels
    wide = dtype in ("uint32", "uint64") and keras.backend.backend() != "jax"  # JAX has no int64
    return ops.cast(labels, "int64" if wide else "int32")


def is_distribution(labels: Any, logits: Any) -> bool:
    """Returns whether labels are distributions over the classes of logits, by their shapes."""
    return len(labels) == len(logits) and labels[-1] == logits[-1]


def distribution(labels: Any, logits: Any) -> Any:
    """Returns labels as distributions `[batch, ..., classes]`; zeros for missing labels.

    Args:
        labels: As for `read`.
        logits: `[batch, ..., classes]`.

    Raises:
        InputError: As for `read`.
    """
    form = read(labels, logits)
    if not form.is_index:
        return ops.cast(form.values, logits.dtype)
    one_hot = ops.one_hot(form.values, logits.shape[-1], dtype=logits.dtype)
    return where_valid(form, one_hot)


def where_valid(form: LabelForm, values: Any) -> Any:
    """Returns values `[batch, ...]` or `[batch, ..., classes]`, zero for missing labels.

    They are NaN for invalid labels.
    """
    valid, readable = form.valid, form.readable
    if len(values.shape) > len(valid.shape):
        valid, readable = ops.expand_dims(valid, -1), ops.expand_dims(readable, -1)
    values = ops.where(valid, values, ops.zeros_like(values))
    return ops.where(readable, values, ops.full_like(values, float("nan")))


def sentence_of(error: str) -> str | None:
    """Returns the message about invalid labels in a TensorFlow error; None if there is none."""
    found = re.search(r"\[(`labels` must be .*? Received:)\] \[(.*?)\]", error)
    return " ".join(found.groups()) if found else None


def _read_distributions(labels: Any) -> LabelForm:
    masses = ops.cast(labels, "float32")
    total = ops.sum(masses, axis=-1)
    valid = ops.any(masses != 0, axis=-1)
    one = ops.logical_and(ops.abs(total - 1) <= SUM_TOLERANCE, ops.all(masses >= 0, axis=-1))
    readable = ops.logical_or(one, ops.logical_not(valid))
    readable = _require(
        readable,
        "`labels` must be distributions over classes, not negative and with a sum of 1 (or 0 "
        "where there is no label). Received:",
        total,
    )
    return LabelForm(labels, False, valid, readable)


def _read_probabilities(labels: Any) -> LabelForm:
    """Reads labels that are the probability of the second of two classes."""
    valid = labels != VOID
    readable = ops.logical_or(ops.logical_not(valid), ops.logical_and(labels >= 0, labels <= 1))
    readable = _require(
        readable, "`labels` must be from 0 to 1, or -1 where there is none. Received:", labels
    )
    second = ops.where(valid, labels, ops.zeros_like(labels))
    return LabelForm(ops.stack([1.0 - second, second], axis=-1), False, valid, readable)


def _read_indices(labels: Any, classes: int) -> LabelForm:
    valid = labels != VOID
    inside = ops.logical_and(labels >= 0, labels < classes)
    indices = ops.cast(labels, "int32")
    if keras.backend.is_float_dtype(labels.dtype):
        inside = ops.logical_and(inside, ops.cast(indices, labels.dtype) == labels)
    readable = ops.logical_or(inside, ops.logical_not(valid))
    readable = _require(
        readable,
        f"`labels` must be classes from 0 to {classes - 1}, or -1 where there is none. Received:",
        labels,
    )
    return LabelForm(ops.where(inside, indices, ops.zeros_like(indices)), True, valid, readable)


def _require(holds: Any, message: str, values: Any) -> Any:
    """Raises an error with one of the values unless `holds` is true everywhere.

    XLA drops this check in a graph. So does JAX, where the host checks labels before steps.

    Returns:
        `holds`. Results that depend on it are computed after the check, before any weight changes.
    """
    if is_symbolic(holds):
        return _require_later(holds, message, values)
    found, values = (ops.convert_to_numpy(tensor) for tensor in (holds, values))
    if not found.all():
        raise InputError(f"{message} {values[~found][0]:g}")
    return holds


def _require_later(holds: Any, message: str, values: Any) -> Any:
    if keras.backend.backend() != "tensorflow" or isinstance(holds, keras.KerasTensor):
        return holds
    import tensorflow as tf

    wrong = tf.reduce_max(tf.where(holds, values.dtype.min, values))
    check = tf.debugging.Assert(tf.reduce_all(holds), [message, wrong])
    with tf.control_dependencies([check]):
        return tf.identity(holds)
