"""The metrics of the weights that a generation keeps.

Usually they are those of the epoch whose weights are kept. But callbacks and optimizers swap
weights: an average replaces them during validation (`SwapEMAWeights`) or when training ends
(`use_ema`), and the weights of a better epoch may be restored (`EarlyStopping`). So each epoch
records a hash of the weights that it measured, by which the kept weights find their row. Weights
that no epoch has validated are validated at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from ban_tf.compat import fingerprint, keras_private
from ban_tf.runs.history import Rows, TrainingState


class Outcome(NamedTuple):
    """The result of one training.

    Attributes:
        weights: The kept weights.
        history: One row of metrics per epoch.
        timings: Seconds and throughput per epoch.
        kept: The metrics of the kept weights.
    """

    weights: list[np.ndarray]
    history: Rows
    timings: Rows
    kept: dict[str, float]


def outcome(
    model: keras.Model, record: TrainingState, keep: str, fit: Mapping[str, Any]
) -> Outcome:
    """Returns the result of a finished training.

    Args:
        model: The `BornAgainModel`, as training left it.
        record: The state of the training.
        keep: "last" or "best".
        fit: Arguments of `fit`, including the validation data.
    """
    if keep == "best":
        assert record.best is not None and record.best_weights is not None
        weights, epoch = record.best_weights, record.best["epoch"]
    else:
        weights = model.student.get_weights()
        epoch = record.measured.get(fingerprint.of_weights(weights))
    # With `validation_freq`, Keras does not validate every epoch.
    row = next((row for row in record.history if row["epoch"] == epoch), {})
    validated = any(name.startswith("val_") for name in row)
    if not record.history or validated or (row and fit.get("validation_data") is None):
        return Outcome(weights, record.history, record.timings, dict(row))
    # The training metrics are those of the last epoch in any case.
    row = row or {
        name: value for name, value in record.history[-1].items() if not name.startswith("val_")
    }
    model.student.set_weights(weights)
    return Outcome(weights, record.history, record.timings, {**row, **validate(model, fit)})


def validate(model: keras.Model, fit: Mapping[str, Any], callbacks: Any = None) -> dict[str, float]:
    """Validates a model as `fit` does.

    Args:
        model: The compiled model.
        fit: Arguments of `fit`.
        callbacks: A `keras.callbacks.CallbackList`, or None.

    Returns:
        Metrics with the prefix "val_"; empty without validation data.
    """
    data = fit.get("validation_data")
    if data is None:
        return {}
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    results = model.evaluate(
        x,
        y,
        sample_weight=weights,
        batch_size=fit.get("validation_batch_size") or fit.get("batch_size"),
        steps=fit.get("validation_steps"),
        callbacks=callbacks,
        return_dict=True,
        **({} if callbacks is not None else {"verbose": 0}),
    )
    return {f"val_{name}": float(value) for name, value in results.items()}


def split(x: Any, fit: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Applies `validation_split`: the last part of the arrays becomes validation data.

    Args:
        x: As for `fit`.
        fit: Further arguments of `fit`.

    Returns:
        `x` and the arguments, with the validation data separated from the training data.
    """
    fit = dict(fit)
    fraction = fit.pop("validation_split", 0.0)
    if not fraction or fit.get("validation_data") is not None:
        return x, fit
    (x, fit["y"], fit["sample_weight"]), fit["validation_data"] = (
        keras_private.split_off_validation((x, fit.get("y"), fit.get("sample_weight")), fraction)
    )
    return x, fit
