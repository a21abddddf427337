"""Predictions of segmenters, measured image by image; distributions over classes are not stored.

All generations see a batch together, so that ensembles need no memory but that of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from ban_tf.compat import compiled, outputs
from ban_tf.metrics import segmentation
from ban_tf.metrics.ensembles import mean_log_probabilities
from ban_tf.runs import eval_batches

VOID = -1
_PIXELS = 2**25  # logits in a batch, of all models together


class Scores(NamedTuple):
    """What is measured of a model or an ensemble.

    Attributes:
        counts: Pixels by image and class.
        confusion: How often a class is taken for another, int64 [classes, classes].
        log_loss: The mean negative log-likelihood of the pixels with a class.
        predicted: Masks, uint8 [images, height, width]; None where they were not wanted.
    """

    counts: segmentation.Counts
    confusion: np.ndarray
    log_loss: float
    predicted: np.ndarray | None


def batch_size(
    networks: Callable[[], Sequence[keras.Model]],
    input_shape: tuple[int, int, int],
    classes: int,
    models: int,
    given: int | None = None,
) -> int:
    """Returns how many images are evaluated at a time; see `eval_batches.size_for`.

    Args:
        networks: Returns networks, for the size of their feature maps.
        input_shape: Height, width and channels.
        classes: The number of classes.
        models: The number of models that see a batch together.
        given: The value of `--eval_batch_size`.
    """
    size = eval_batches.size_for(networks, input_shape, given)
    logits = math.prod(input_shape[:2]) * classes * max(1, models)
    return size if given else max(1, min(size, _PIXELS // logits))


def score(
    models: Sequence[keras.Model],
    groups: Sequence[Sequence[int]],
    batches: Iterable[tuple[Any, Any]],
    average: str = "probabilities",
    kept: Collection[int] = (),
) -> list[Scores]:
    """Returns the scores of models and of their ensembles.

    Args:
        models: From images to logits or probabilities `[batch, height, width, classes]`.
        groups: Indices of the models whose predictions are averaged.
        batches: Pairs of images and of labels, int32 `[batch, height, width]`, -1 for no class.
        average: "probabilities" or "logits".
        kept: The groups whose predicted masks are returned.
    """
    classes = models[0].output_shape[-1]
    activations = [outputs.first_activation(model) for model in models]
    read = compiled.inference(
        lambda images: [model(images, training=False) for model in models], models
    )
    parts: list[list[segmentation.Counts]] = [[] for _ in groups]
    confusion = np.zeros((len(groups), classes, classes), np.int64)
    losses = np.zeros(len(groups))
    masks: list[list[np.ndarray]] = [[] for _ in groups]
    for images, labels in batches:
        true = np.asarray(labels)
        logs = [
            outputs.log_probabilities(found, activation)
            for found, activation in zip(read(images), activations, strict=True)
        ]
        for index, members in enumerate(groups):
            joint = _mean([logs[member] for member in members], average)
            predicted = joint.argmax(axis=-1)
            matrices = segmentation.confusion_matrices(true, predicted, classes)
            parts[index].append(segmentation.counts(matrices))
            confusion[index] += matrices.sum(axis=0)
            losses[index] += _log_loss(joint, true)
            if index in kept:
                masks[index].append(predicted.astype(np.uint8))
    pixels = max(1, int(confusion[0].sum()))
    return [
        Scores(
            segmentation.Counts(
                *(np.concatenate(part) for part in zip(*parts[index], strict=True))
            ),
            confusion[index],
            float(losses[index] / pixels),
            np.concatenate(masks[index]) if index in kept else None,
        )
        for index in range(len(groups))
    ]


def rows(scores: Sequence[Scores]) -> list[dict[str, Any]]:
    """Returns the rows of a summary; see `Task.rows`.

    Args:
        scores: Of generation 0, of the others, and of ensembles.
    """
    first = scores[0].counts
    return [
        row(found.counts, found.log_loss, first if index else None)
        for index, found in enumerate(scores)
    ]


def row(
    counts: segmentation.Counts, log_loss: float, first: segmentation.Counts | None
) -> dict[str, Any]:
    """Returns a row of a summary.

    Args:
        counts: The pixels of a model.
        log_loss: Its mean negative log-likelihood.
        first: The pixels of generation 0; None for this itself.
    """
    return {
        **segmentation.evaluate(counts),
        "negative_log_likelihood": log_loss,
        "interval": list(segmentation.interval(counts)),
        "change": None if first is None else segmentation.change(counts, first),
    }


def _mean(members: list[np.ndarray], average: str) -> np.ndarray:
    return members[0] if len(members) == 1 else mean_log_probabilities(members, average)


def _log_loss(logs: np.ndarray, true: np.ndarray) -> float:
    """Returns the summed negative log-likelihood of the pixels with a class."""
    valid = true != VOID
    return -float(np.take_along_axis(logs[valid], true[valid][:, None], axis=-1).sum())
