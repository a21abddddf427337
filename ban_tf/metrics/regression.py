"""Metrics of predicted numbers, and of ensembles that average them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ban_tf.errors import InputError
from ban_tf.metrics import bootstrap


def evaluate(predictions: ArrayLike, targets: ArrayLike) -> dict[str, float]:
    """Evaluates predicted numbers.

    Args:
        predictions: `[examples]`.
        targets: The true numbers, `[examples]`.

    Returns:
        examples (an integer), rmse (the root of the mean squared error), mae (the mean absolute
        error) and r2 (the share of the variance that is explained, negative if the mean of the
        targets predicts better). If all targets are equal, r2 is 1 for perfect predictions and
        else 0, as in scikit-learn.

    Raises:
        InputError: The shapes differ, or a number is not finite.
    """
    predictions, targets = _checked(predictions, targets)
    errors = predictions - targets
    spread = np.sum(np.square(targets - targets.mean()))
    squares = np.sum(np.square(errors))
    return {
        "examples": len(targets),
        "rmse": float(np.sqrt(np.mean(np.square(errors)))),
        "mae": float(np.mean(np.abs(errors))),
        "r2": float(1.0 - squares / spread) if spread else float(squares == 0),
    }


def rows(
    predictions: Sequence[ArrayLike],
    groups: Sequence[Sequence[int]],
    targets: ArrayLike,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Returns the metrics of generations and of ensembles, with the uncertainty of the RMSE.

    Args:
        predictions: Each generation's numbers, `[examples]`.
        groups: The generations whose numbers are averaged; see `summary.groups`.
        targets: The true numbers, `[examples]`.
        seed: The seed of the resamples.

    Returns:
        For each group the entries of `evaluate`; "interval", the 95 % interval of the RMSE by
        resampling examples; and "change", the paired change of the RMSE against the first group,
        None for the first; see `bootstrap.change`.
    """
    joint = [np.mean([_numbers(predictions[member]) for member in group], 0) for group in groups]
    found = [evaluate(values, targets) for values in joint]
    squares = np.square(np.stack(joint, axis=1) - _numbers(targets)[:, None])
    resampled = np.sqrt(bootstrap.means(squares, seed))
    return [
        {
            **row,
            "interval": bootstrap.interval(resampled[:, index]),
            "change": bootstrap.change(
                row["rmse"], found[0]["rmse"], resampled[:, index], resampled[:, 0]
            )
            if index
            else None,
        }
        for index, row in enumerate(found)
    ]


def improved(now: ArrayLike, before: ArrayLike, targets: ArrayLike, seed: int = 0) -> bool:
    """Returns whether the RMSE fell by more than its 95 % interval, by resampling examples.

    Args:
        now: The numbers of the newest generation, `[examples]`.
        before: Those of the generation before it.
        targets: The true numbers.
        seed: The seed of the resamples.
    """
    change = rows([before, now], [[0], [1]], targets, seed)[1]["change"]
    return bool(change["high"] < 0)


def _numbers(values: ArrayLike) -> np.ndarray:
    return np.asarray(values, np.float64)


def _checked(predictions: ArrayLike, targets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    predictions, targets = _numbers(predictions), _numbers(targets)
    if predictions.shape != targets.shape or targets.ndim != 1 or not len(targets):
        raise InputError(
            "`predictions` and `targets` must be arrays of one shape [examples], not empty. "
            f"Received: shapes {predictions.shape} and {targets.shape}."
        )
    if not (np.isfinite(predictions).all() and np.isfinite(targets).all()):
        raise InputError("`predictions` and `targets` must be finite numbers.")
    return predictions, targets
