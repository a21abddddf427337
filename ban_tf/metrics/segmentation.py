"""Metrics of segmentation: mean intersection over union and pixel accuracy, with intervals.

All are computed from how many pixels of each class an image has, is said to have, and has where
they are said to be: `Counts`. Pixels without a class count for nothing.

Pixels of an image are not independent, so that intervals and tests treat an image as one
observation. The interval is a bootstrap over images; that of a change uses the same images for both
models, and its p-value is that of a permutation test, in which models swap their predictions of
random images.

References:
    Efron and Tibshirani, 1993, "An Introduction to the Bootstrap".
    Everingham et al., 2010, "The PASCAL Visual Object Classes (VOC) Challenge": intersection over
    union of all test images together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ban_tf.errors import InputError
from ban_tf.metrics import bootstrap

_ENDS = (0.025, 0.975)  # 95 %


class Counts(NamedTuple):
    """Numbers of pixels, int64 [images, classes] each.

    Attributes:
        right: Of a class, and predicted to be.
        true: Of a class.
        predicted: Predicted to be of a class, among those that have one.
    """

    right: np.ndarray
    true: np.ndarray
    predicted: np.ndarray


def confusion_matrices(true: ArrayLike, predicted: ArrayLike, classes: int) -> np.ndarray:
    """Returns how often a class is taken for another, by image.

    Args:
        true: Integers [images, height, width]; those outside of 0..classes - 1 are void.
        predicted: Integers of the same shape, in 0..classes - 1.
        classes: The number of classes.

    Returns:
        int64 [images, classes, classes]; true classes are rows.

    Raises:
        InputError: The shapes differ.
    """
    true, predicted = np.asarray(true, np.int64), np.asarray(predicted, np.int64)
    if true.shape != predicted.shape or true.ndim != 3:
        raise InputError(
            "Masks must be two arrays of one shape [images, height, width]. "
            f"Received: shapes {true.shape} and {predicted.shape}."
        )
    valid = (true >= 0) & (true < classes)
    pairs = np.where(valid, true * classes + predicted, classes**2)
    counts = [np.bincount(image.ravel(), minlength=classes**2 + 1) for image in pairs]
    return np.reshape([row[:-1] for row in counts], (-1, classes, classes)).astype(np.int64)


def counts(confusion: np.ndarray) -> Counts:
    """Returns the counts of confusion matrices [images, classes, classes]."""
    right = np.diagonal(confusion, axis1=1, axis2=2)
    return Counts(right.copy(), confusion.sum(axis=2), confusion.sum(axis=1))


def iou_by_class(counts: Counts) -> np.ndarray:
    """Returns the intersection over union of each class, of all images together.

    Args:
        counts: Of some images.

    Returns:
        float64 [classes]; NaN for a class that neither occurs nor is predicted.
    """
    right, true, predicted = (part.sum(axis=0, dtype=np.float64) for part in counts)
    union = true + predicted - right
    return np.divide(right, union, out=np.full_like(union, np.nan), where=union > 0)


def mean_iou(counts: Counts) -> float:
    """Returns the mean intersection over union of the classes that occur or are predicted."""
    return float(_mean_iou(*(part.sum(axis=0, dtype=np.float64) for part in counts)))


def evaluate(counts: Counts) -> dict[str, float]:
    """Returns the metrics of a segmentation.

    Args:
        counts: Of the test images.

    Returns:
        "examples" (images), "mean_iou" and "pixel_accuracy".

    Raises:
        InputError: No pixel has a class.
    """
    pixels = counts.true.sum()
    if not pixels:
        raise InputError("No pixel of the masks has a class, so that nothing can be measured.")
    return {
        "examples": len(counts.true),
        "mean_iou": mean_iou(counts),
        "pixel_accuracy": float(counts.right.sum() / pixels),
    }


def by_image(counts: Counts) -> np.ndarray:
    """Returns the mean intersection over union of each image by itself, float64 [images].

    Args:
        counts: Of some images. One without a pixel of any class is NaN.
    """
    return _mean_iou(*(part.astype(np.float64) for part in counts))


def interval(counts: Counts) -> tuple[float, float]:
    """Returns the 95 % bootstrap interval of the mean intersection over union, over images."""
    found = np.concatenate(
        [
            _mean_iou(*(weights @ part for part in counts))
            for weights in bootstrap.drawn(len(counts.true))
        ]
    )
    low, high = np.nanquantile(found, _ENDS)
    return float(low), float(high)


def change(counts: Counts, reference: Counts) -> dict[str, float]:
    """Returns the change of the mean intersection over union against a reference.

    Args:
        counts: Of some images.
        reference: Those of another model, on the same images.

    Returns:
        "difference", "low" and "high" (the ends of its 95 % interval) and "p", the two-sided
        p-value.
    """
    found = np.concatenate(
        [
            _mean_iou(*(weights @ part for part in counts))
            - _mean_iou(*(weights @ part for part in reference))
            for weights in bootstrap.drawn(len(counts.true))
        ]
    )
    difference = mean_iou(counts) - mean_iou(reference)
    low, high = np.nanquantile(found, _ENDS)
    return {
        "difference": difference,
        "low": float(low),
        "high": float(high),
        "p": _p_value(counts, reference, difference),
    }


def _p_value(counts: Counts, reference: Counts, difference: float) -> float:
    """Returns the p-value of a permutation test: of swaps, the share that differ as much."""
    rng = np.random.default_rng(1)
    as_much = 0
    for size in bootstrap.sizes(len(counts.true)):
        kept = rng.integers(0, 2, (size, len(counts.true))).astype(np.float64)
        ours = [kept @ a + (1 - kept) @ b for a, b in zip(counts, reference, strict=True)]
        theirs = [(1 - kept) @ a + kept @ b for a, b in zip(counts, reference, strict=True)]
        differences = np.abs(_mean_iou(*ours) - _mean_iou(*theirs))
        as_much += int(np.sum(differences >= abs(difference) - 1e-12))
    return (1 + as_much) / (1 + bootstrap.RESAMPLES)


def _mean_iou(right: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> Any:
    """Returns means over classes, [...], of numbers of pixels [..., classes]."""
    union = true + predicted - right
    there = union > 0
    ratios = np.divide(right, union, out=np.zeros_like(union), where=there)
    occur = there.sum(axis=-1)
    total = ratios.sum(axis=-1)
    return np.divide(total, occur, out=np.full_like(total, np.nan), where=occur > 0)
