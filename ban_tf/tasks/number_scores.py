"""What tasks have in common that predict one number: training on standardized ones, and scores.

Networks learn and return standardized numbers; what is measured and saved is in the unit of the
target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
from matplotlib.figure import Figure

from ban_tf.lineage.lineage import Lineage
from ban_tf.metrics import regression
from ban_tf.report import regression_plots
from ban_tf.runs import number_files, number_models
from ban_tf.runs.rundir import RunDirectory
from ban_tf.tasks import kept_predictions, lent_models

# What `Task.shown` is of them.
SHOWN = ("loss", "rmse", "val_rmse")
# Returns the numbers that a model predicts, in the unit of the target, float64 `[examples]`.
Numbers = Callable[[keras.Model], np.ndarray]


class Target(Protocol):
    """Mean and standard deviation of a number in the training data."""

    @property
    def mean(self) -> float:
        """The mean."""

    @property
    def std(self) -> float:
        """The standard deviation; one if all numbers are equal."""


def standardized(numbers: np.ndarray, target: Target) -> np.ndarray:
    """Returns numbers `[examples]` as labels of networks, float32 `[examples, 1]`."""
    return ((numbers - target.mean) / target.std).astype(np.float32)[:, None]


def in_unit(outputs: np.ndarray, target: Target) -> np.ndarray:
    """Returns the outputs of a network `[examples, 1]` as numbers, float64 `[examples]`."""
    return outputs[:, 0].astype(np.float64) * target.std + target.mean


def in_unit_of(target: Target) -> keras.layers.Layer:
    """Returns the layer from standardized numbers to those of the target."""
    return keras.layers.Rescaling(target.std, target.mean, dtype="float32", name=number_models.UNIT)


def from_unit_of(target: Target) -> keras.layers.Layer:
    """Returns the layer from numbers of the target to standardized ones."""
    scale, shift = 1.0 / target.std, -target.mean / target.std
    return keras.layers.Rescaling(scale, shift, dtype="float32", name="standardized")


def compile_arguments() -> dict[str, Any]:
    """Returns the squared error and its root; see `Task.compile_arguments`."""
    root = keras.metrics.RootMeanSquaredError(name="rmse")
    return {"loss": keras.losses.MeanSquaredError(), "weighted_metrics": [root]}


def improved(lineage: Lineage, numbers: Numbers, targets: np.ndarray, seed: int) -> bool:
    """Returns whether the RMSE of the last generation fell by more than its 95 % interval.

    Args:
        lineage: A lineage of two generations at least.
        numbers: Predicts for the validation examples.
        targets: Their true numbers, `[examples]`.
        seed: The seed of the resamples.
    """
    last = lineage.generations[-1].number
    now, before = (numbers(lent_models.of_generation(lineage, index)) for index in (last, last - 1))
    return regression.improved(now, before, targets, seed)


def validation_scores(
    lineage: Lineage, groups: Sequence[Sequence[int]], numbers: Numbers, targets: np.ndarray
) -> list[float] | None:
    """Returns the validation RMSE of generations and of their averages; see `Task`."""
    if not len(targets):
        return None
    found = [
        numbers(lent_models.of_generation(lineage, generation.number))
        for generation in lineage.generations
    ]
    means = [np.mean([found[member] for member in group], axis=0) for group in groups]
    return [regression.evaluate(mean, targets)["rmse"] for mean in means]


def predictions(
    lineage: Lineage, directory: RunDirectory, examples: int, numbers: Numbers
) -> list[np.ndarray]:
    """Returns each generation's numbers for the test examples; they are stored."""
    return kept_predictions.of_generations(
        lineage, directory, (examples,), numbers, number_files.read_numbers
    )


def figures(found: Sequence[np.ndarray], targets: np.ndarray) -> Mapping[str, Mapping[int, Figure]]:
    """Returns predictions against the truth for TensorBoard; see `Task.figures`."""
    return {
        "predictions and residuals": {
            number: regression_plots.against_truth(values, targets, f"generation {number}")
            for number, values in enumerate(found)
        }
    }
