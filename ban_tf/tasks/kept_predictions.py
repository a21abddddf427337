"""Predictions of the generations on the test set, stored with the models.

Later reports need no second pass over the data.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from absl import logging

from ban_tf.errors import CorruptFileError
from ban_tf.lineage.lineage import Lineage
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import lent_models
from ban_tf.training import checkpoints


def of_generations(
    lineage: Lineage,
    directory: RunDirectory,
    shape: tuple[int, ...],
    predict: Callable[[keras.Model], np.ndarray],
    read: Callable[[RunDirectory, str], np.ndarray] = reading.predictions,
    kept_as: str = "predictions",
) -> list[np.ndarray]:
    """Returns each generation's predictions; those that are stored are not computed again.

    Args:
        lineage: A finished lineage.
        directory: The run directory, in which predictions are stored.
        shape: The shape of one generation's predictions; stored ones of another are not used.
        predict: Returns the predictions of a model.
        read: Reads and checks a stored file; by default one of log-probabilities.
        kept_as: The name of the file of each generation, without its suffix.
    """
    results = []
    for generation in lineage.generations:
        name = f"generation-{generation.number}/{kept_as}.npz"
        found = _kept(directory, name, shape, read)
        if found is None:
            found = predict(lent_models.of_generation(lineage, generation.number))
            directory.commit({name: checkpoints.pack([found])})
        results.append(found)
    return results


def _kept(
    directory: RunDirectory,
    name: str,
    shape: tuple[int, ...],
    read: Callable[[RunDirectory, str], np.ndarray],
) -> np.ndarray | None:
    """Returns stored predictions; None if there are none, or the file is damaged."""
    if name not in directory.names():
        return None
    try:
        found = read(directory, name)
        if found.shape != shape:
            raise CorruptFileError(f"{directory.path / name} is not of this test set.")
        return found
    except CorruptFileError as error:
        logging.warning("%s It is computed again.", error)
        return None
