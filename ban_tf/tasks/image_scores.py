"""Predictions of the generations on images, stored with the models.

Later reports need no second pass over the data.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from ban_tf import datasets
from ban_tf.compat import outputs
from ban_tf.datasets import pipeline
from ban_tf.errors import CorruptFileError
from ban_tf.lineage.lineage import Lineage
from ban_tf.runs import eval_batches, reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.training import checkpoints

# Returns the inputs and labels of a split, in order.
Batches = Callable[[datasets.Split], tf.data.Dataset]


def predictions(
    lineage: Lineage,
    data: datasets.ImageData,
    directory: RunDirectory,
    batches: Batches | None = None,
    batch_size: int | None = None,
) -> list[np.ndarray]:
    """Returns each generation's log-probabilities on the test set, `[examples, classes]`.

    Args:
        lineage: A finished lineage.
        data: The data, of which the test split is used.
        directory: The run directory, in which predictions are stored.
        batches: As for `log_probabilities`.
        batch_size: Images in a batch; by default as many as fit into memory.
    """
    models: dict[Callable, keras.Model] = {}
    results = []
    for generation in lineage.generations:
        name = f"generation-{generation.number}/predictions.npz"
        found = _kept(directory, name, (len(data.test.labels), data.num_classes))
        if found is None:
            if generation.pretrained:
                predictor = lineage.model(generation.number)
            else:
                build = lineage.builder(generation.number)
                predictor = models[build] = models.get(build) or build()
                predictor.set_weights(generation.weights)
            found = log_probabilities(predictor, data.test, data, batches, batch_size)
            directory.commit({name: checkpoints.pack([found])})
        results.append(found)
    return results


def _kept(directory: RunDirectory, name: str, shape: tuple[int, int]) -> np.ndarray | None:
    """Returns stored predictions; None if there are none, or the file is damaged."""
    if name not in directory.names():
        return None
    try:
        found = reading.predictions(directory, name)
        if found.shape != shape:
            raise CorruptFileError(f"{directory.path / name} is not of this test set.")
        return found
    except CorruptFileError as error:
        logging.warning("%s It is computed again.", error)
        return None


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
    if batches is None:
        size = eval_batches.size_for(lambda: [model], data.input_shape, batch_size)
        found = pipeline.evaluation_batches(split, data, size)
    else:
        found = batches(split)
    activation = outputs.first_activation(model)
    raw = model.predict(found.map(lambda inputs, labels: inputs), verbose=0)
    return outputs.log_probabilities(raw, activation)
