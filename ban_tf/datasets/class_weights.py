"""How often each class occurs, and weights of examples by class (`--class_weight`)."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ban_tf.datasets import device_images, folder_hints
from ban_tf.errors import InputError
from ban_tf.system import safe_files

BALANCED = "balanced"
_ALL = 10  # classes that are all listed
_SOME = 3  # of more classes, the most and the least common ones


def describe(labels: np.ndarray, class_names: Sequence[str]) -> str:
    """Returns the number of examples of each class in a sentence; of many classes, of some.

    Args:
        labels: Integers `[examples]`, of which negative ones are no class.
        class_names: In the order of the labels.
    """
    counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
    return f"Training examples by class: {listed(counts, class_names)}."


def listed(counts: np.ndarray, class_names: Sequence[str]) -> str:
    """Returns how many there are of each class; of many classes, of some.

    Args:
        counts: Integers `[classes]`.
        class_names: In the order of the counts.
    """
    if counts.min() == counts.max():
        return f"{counts[0]:,} of each of {len(counts)}"

    def these(chosen: np.ndarray) -> str:
        return ", ".join(f"{class_names[label]} {counts[label]:,}" for label in chosen)

    if len(counts) <= _ALL:
        return these(np.arange(len(counts)))
    order = np.argsort(-counts, kind="stable")
    return f"of {len(counts)} classes most {these(order[:_SOME])}; fewest {these(order[-_SOME:])}"


def weights(value: str, labels: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Returns the weight of each class, float32 `[classes]`.

    Args:
        value: "balanced", by which the classes have equal weight in all and the mean over the
            examples is one; or a file of CSV with the columns "class" and "weight".
        labels: Of the training data, integers `[examples]`.
        class_names: In the order of the labels.

    Raises:
        InputError: The file cannot be read, or is not such a table: a class is missing or
            unknown, or a weight is not a positive number.
    """
    if value == BALANCED:
        counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
        present = np.count_nonzero(counts)
        found = counts.sum() / (present * np.maximum(counts, 1))
        return np.where(counts > 0, found, 1.0).astype(np.float32)
    by_class = _read(value)
    unknown = [name for name in by_class if name not in class_names]
    missing = [name for name in class_names if name not in by_class]
    if unknown:
        raise InputError(
            f"--class_weight={value} has a weight for {folder_hints.listed(unknown)}, but the "
            f"classes are {folder_hints.listed(class_names)}."
        )
    if missing:
        raise InputError(
            f"--class_weight={value} has no weight for {folder_hints.listed(missing)}."
        )
    return np.array([by_class[name] for name in class_names], np.float32)


def identity(value: str | None, by_class: np.ndarray | None) -> dict[str, str]:
    """Returns what identifies the weights of a run, for its settings; nothing if it has none.

    Args:
        value: The value of `--class_weight`.
        by_class: The weights.
    """
    if by_class is None:
        return {}
    from ban_tf.compat import fingerprint

    hashed = fingerprint.of_array(by_class)[:16]
    return {"class_weight": f"{value} with weights of hash {hashed}"}


def _read(file: str) -> dict[str, float]:
    try:
        with open(file, encoding="utf-8-sig", newline="", opener=safe_files.regular) as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = safe_files.reason(error, "it is no table of text")
        raise InputError(f"--class_weight={file} cannot be read ({reason}).") from error
    if not rows or not {"class", "weight"} <= set(rows[0]):
        raise InputError(
            f"--class_weight={file} must be a table of CSV with the columns class and weight, and "
            "a row for each class."
        )
    found: dict[str, float] = {}
    for row in rows:
        name, text = row["class"] or "", row["weight"] or ""
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not (weight > 0 and math.isfinite(weight)):
            raise InputError(
                f"--class_weight={file}: the weight of {name} must be a positive number; it is "
                f"{text or 'empty'}."
            )
        if name in found:
            raise InputError(f"--class_weight={file} has two weights for {name}.")
        found[name] = weight
    return found


def weighted(batches: Any, by_class: np.ndarray | None) -> Any:
    """Adds a sample weight to each example of batches.

    Args:
        batches: (images, labels): classes, integers `[batch]` or of pixels `[batch, height,
            width]`, -1 for none, whose weight is one; distributions `[batch, classes]`, whose
            weight is the mean; or a dictionary with "labels".
        by_class: The weight of each class, `[classes]`; None adds nothing.
    """
    if by_class is None:
        return batches

    def weigh(images: Any, targets: Any) -> tuple[Any, Any, Any]:
        labels = targets["labels"] if isinstance(targets, dict) else targets
        if isinstance(labels, np.ndarray):
            return images, targets, _of_arrays(labels, by_class)
        if device_images.serves():  # masks, which it has moved
            return images, targets, device_images.compiled(_of_classes)(labels, by_class)
        import tensorflow as tf

        if labels.dtype.is_floating:
            return images, targets, tf.linalg.matvec(labels, by_class)
        weights = tf.gather(by_class, tf.maximum(labels, 0))
        return images, targets, tf.where(labels < 0, 1.0, weights)

    return batches.map(weigh)


def _of_arrays(labels: np.ndarray, by_class: np.ndarray) -> np.ndarray:
    """Returns the weights of examples, float32 `[batch]`."""
    if np.issubdtype(labels.dtype, np.floating):
        return labels @ by_class
    return _of_classes(labels, by_class, np)


def _of_classes(labels: Any, by_class: Any, arrays: Any) -> Any:
    return arrays.where(labels < 0, np.float32(1), by_class[arrays.maximum(labels, 0)])
