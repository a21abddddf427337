"""Predictions of the generations on images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from ban_tf import datasets
from ban_tf.compat import outputs
from ban_tf.datasets import pipeline
from ban_tf.runs import eval_batches

# Returns the inputs and labels of a split, in order.
Batches = Callable[[datasets.Split], Any]


def log_probabilities(
    model: keras.Model,
    split: datasets.Split,
    data: datasets.ImageData,
    batches: Batches | None = None,
    batch_size: int | None = None,
) -> np.ndarray:
    """Returns a model's log-probabilities on one split of the data, `[examples, classes]`.

    Args:
        model: The model.
        split: One of the splits of the data.
        data: The data.
        batches: Returns what the model takes, if that is not the images.
        batch_size: Images in a batch; by default as many as fit into memory.
    """
    return outputs.log_probabilities(*_predicted(model, split, data, batches, batch_size))


def log_odds(
    model: keras.Model, split: datasets.Split, data: datasets.ImageData, **options: Any
) -> np.ndarray:
    """Returns a model's log-odds of labels on one split of the data, `[examples, labels]`.

    The arguments are those of `log_probabilities`.
    """
    return outputs.log_odds(*_predicted(model, split, data, **options))


def values(
    model: keras.Model, split: datasets.Split, data: datasets.ImageData, **options: Any
) -> np.ndarray:
    """Returns a model's raw outputs on one split of the data, `[examples, units]`.

    The arguments are those of `log_probabilities`.
    """
    return _predicted(model, split, data, **options)[0]


def _predicted(
    model: keras.Model,
    split: datasets.Split,
    data: datasets.ImageData,
    batches: Batches | None = None,
    batch_size: int | None = None,
) -> tuple[np.ndarray, str]:
    """Returns what a model gives for a split, and its last activation."""
    if batches is None:
        size = eval_batches.size_for(lambda: [model], data.input_shape, batch_size)
        found = pipeline.evaluation_batches(split, data, size)
    else:
        found = batches(split)
    activation = outputs.first_activation(model)
    raw = model.predict(found.map(lambda inputs, labels: (inputs,)), verbose=0)
    return raw, activation
