"""What runs with several labels for each image keep: log-odds of labels, and thresholds."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ban_tf.errors import CorruptFileError
from ban_tf.runs import reading, schemas
from ban_tf.runs.reading import THRESHOLDS
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import archives, json_schema


def thresholds_file(thresholds: Mapping[tuple[int, ...], ArrayLike]) -> dict[str, bytes]:
    """Returns the file of a run that keeps thresholds, by name.

    Args:
        thresholds: Of each label `[labels]`, by the generations that a model averages.
    """
    models = [
        {"members": list(members), "thresholds": np.asarray(chosen, np.float64).tolist()}
        for members, chosen in thresholds.items()
    ]
    return {THRESHOLDS: json.dumps({"models": models}, indent=1).encode()}


def thresholds(run: RunDirectory, labels: int) -> dict[tuple[int, ...], np.ndarray]:
    """Reads the thresholds of all models of a run, by the generations that they average.

    Args:
        run: The run.
        labels: The number of its labels.

    Raises:
        RunDirectoryError: The file is missing or damaged.
    """
    name = run.path / THRESHOLDS
    found = json_schema.read(run.read(THRESHOLDS), schemas.THRESHOLDS, name)
    if any(len(model["thresholds"]) != labels for model in found["models"]):
        raise CorruptFileError(f"{name} does not have a threshold for each of {labels} labels.")
    return {
        tuple(model["members"]): np.array(model["thresholds"], np.float64)
        for model in found["models"]
    }


def thresholds_of(run: reading.RunReader, which: str, labels: int) -> np.ndarray:
    """Reads the thresholds of a model, `[labels]`.

    Args:
        run: The run.
        which: "ensemble", or the number of a generation.
        labels: The number of its labels.

    Raises:
        RunDirectoryError: They are not there, as in a run that is not finished, or are damaged.
    """
    if THRESHOLDS not in run.names():
        raise CorruptFileError(
            f"{run.path} has no thresholds of its labels yet; finish it: {reading.resume(run)}"
        )
    last = len(reading.finished_generations(run)) - 1
    members = tuple(range(1, last + 1)) or (0,)
    if which != "ensemble":
        members = (int(which),)
    found = thresholds(run, labels)
    if members not in found:
        raise CorruptFileError(
            f"{run.path / THRESHOLDS} lacks the thresholds of {which}; finish the run: "
            f"{reading.resume(run)}"
        )
    return found[members]


def log_odds(run: RunDirectory, name: str) -> np.ndarray:
    """Reads the log-odds in a file, float64 `[examples, labels]`.

    Raises:
        CorruptFileError: The file is damaged, or holds something else.
    """
    found = archives.arrays(run.read(name), run.path / name, ("00000",))["00000"]
    if found.dtype.kind != "f" or found.ndim != 2 or not found.shape[1]:
        raise CorruptFileError(f"{run.path / name} does not hold log-odds of labels.")
    if not np.isfinite(found).all():
        raise CorruptFileError(f"{run.path / name} holds log-odds that are not finite.")
    return found.astype(np.float64)
