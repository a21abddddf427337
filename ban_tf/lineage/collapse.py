"""Checks whether the validation accuracy of a generation is better than chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from ban_tf.compat import student_code
from ban_tf.errors import InputError

_WANTED = "`chance` is compared with an accuracy on the validation data"


def accuracy_of(row: Mapping[str, float]) -> str | None:
    """Returns the name of the metric that is compared with `chance`.

    That is "val_accuracy" or "val_acc" or, where there is neither, the only other accuracy, such as
    "val_sparse_categorical_accuracy", "val_weighted_accuracy" or "val_<output>_accuracy".

    Args:
        row: Metrics by name.

    Returns:
        The name; None if there is no accuracy, or several.
    """
    for name in ("val_accuracy", "val_acc"):
        if name in row:
            return name
    found = [name for name in row if name.startswith("val_") and _is_accuracy(name)]
    return found[0] if len(found) == 1 else None


def has_collapsed(
    row: Mapping[str, float], chance: float | None, monitor: str | None = None
) -> bool:
    """Returns whether a generation is no better than chance.

    Args:
        row: The metrics of its kept weights.
        chance: As for `Lineage`; None for no check.
        monitor: As for `Lineage`.

    Raises:
        InputError: There is no accuracy, or there are several.
    """
    if chance is None:
        return False
    name = monitor if monitor in row else accuracy_of(row)
    if name is None:
        measured = ", ".join(name for name in row if name.startswith("val_")) or "nothing"
        raise InputError(
            f"{_WANTED}, but validation measured {measured}; compile a single metric 'accuracy', "
            "or leave `chance` out."
        )
    return row[name] <= chance


def output_count(networks: Iterable[keras.Model]) -> int | None:
    """Returns the number of outputs of networks, each of which has its own metrics.

    Args:
        networks: The networks that are trained.

    Returns:
        None if a network adds its own metrics, which are only known once it is trained.
    """
    networks = list(networks)
    own = ("metrics", "compute_metrics", "compile", "get_metrics_result")
    if any(student_code.overrides(network, name) for network in networks for name in own):
        return None
    return max(len(getattr(network, "outputs", None) or [None]) for network in networks)


def check_measured(fit: Mapping[str, Any], compile: Mapping[str, Any], outputs: int | None) -> None:
    """Checks before training that validation will measure one accuracy to compare with `chance`.

    Args:
        fit: Arguments of `keras.Model.fit`.
        compile: Arguments of `compile`.
        outputs: The result of `output_count`.

    Raises:
        InputError: There is no validation data, no accuracy among the metrics, or several.
    """
    if fit.get("validation_data") is None:
        raise InputError(f"{_WANTED}; give `validation_data`, or leave `chance` out.")
    if outputs is None:
        return
    given = [compile.get(name) for name in ("metrics", "weighted_metrics")]
    names = [_name(metric) for metric in keras.tree.flatten(given) if metric is not None]
    found = [name for name in names if _is_accuracy(name)]
    if not found:
        raise InputError(
            f"{_WANTED}, but `compile` is given no such metric; give metrics=['accuracy'], or "
            "leave `chance` out."
        )
    if len(found) > 1 and (outputs > 1 or not {"accuracy", "acc"} & set(found)):
        raise InputError(
            f"{_WANTED}, of which `compile` is given several ({', '.join(found)}); give one, or "
            "leave `chance` out."
        )


def _is_accuracy(name: str) -> bool:
    # Top-k accuracy has a different chance level.
    return name.lower().endswith(("accuracy", "acc")) and "top_" not in name.lower()


def _name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    return str(getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__))
