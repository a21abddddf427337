"""Finds objectives by name, configuration or function."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import keras

from ban_tf.compat import keras_private
from ban_tf.errors import InputError
from ban_tf.objectives.function import FunctionObjective
from ban_tf.objectives.names import OBJECTIVES, parse
from ban_tf.objectives.objective import Objective
from ban_tf.system import flag_names, user_code


@flag_names.as_arguments()
def get(objective: Any, **options: Any) -> Any:
    """Returns an objective.

    Args:
        objective: An `Objective`, a name from `OBJECTIVES`, a function or its name, or the result
            of `keras.saving.serialize_keras_object` for an objective.
        **options: Arguments of the objective's constructor, such as `temperature`.

    Raises:
        InputError: The objective or the option does not exist.
    """
    if isinstance(objective, str):
        base, _ = parse(objective)
        if ":" in base:
            given, objective = f"--objective={objective}", FunctionObjective(base)
            _check_function(objective.function, given)
        else:
            entry = OBJECTIVES[base]
            module = importlib.import_module(f"ban_tf.objectives.{entry.module}")
            objective = getattr(module, entry.name)(**entry.options)
    elif _is_config(objective):
        objective = _from_config(objective)
    elif not isinstance(objective, Objective):
        _check_function(objective)
        objective = FunctionObjective(objective)
    if not options:
        return objective
    config = {} if isinstance(objective, FunctionObjective) else objective.get_config()
    for option, value in options.items():
        if option not in config:
            raise InputError(
                f"`{option}` is {value}, but {type(objective).__name__} has no {option}."
            )
    return type(objective).from_config({**config, **options})


# Callables and classes that belong to other arguments.
_ELSEWHERE = {
    keras.losses.Loss: "a loss for labels belongs in `compile(loss=...)`",
    keras.metrics.Metric: "a metric belongs in `compile(metrics=...)`",
    keras.distillation.DistillationLoss: "a loss between models belongs in `distillation_losses`",
    keras.Model: "a model that teaches belongs in `teacher`",
    keras.layers.Layer: "a layer belongs in a model",
}


def _check_function(objective: Any, given: str = "") -> None:
    """Checks that a custom objective is a function of three arguments.

    Args:
        objective: The function.
        given: The argument or flag with the name of the function, if it was found by it.
    """
    for kind, hint in _ELSEWHERE.items():
        if isinstance(objective, kind) or (
            inspect.isclass(objective) and issubclass(objective, kind)
        ):
            raise InputError(
                f"`objective` must be a name, an Objective, or a function of labels, teacher "
                f"logits and student logits; {hint}. Received: {objective!r}"
            )
    if not callable(objective) or isinstance(objective, type):
        raise InputError(
            "`objective` must be a name, an Objective, a function or a dictionary of these. "
            f"Received: {objective!r}"
        )
    # The third argument of a Keras loss or metric is not a tensor.
    of_keras = keras_private.is_of_keras(objective, "losses", "metrics")
    if of_keras or not user_code.takes(objective, 3):
        named = f"{given}: it" if given else "A function used as `objective`"
        received = "" if given else f" Received: {objective!r}"
        raise InputError(f"{named} must take labels, teacher logits and student logits.{received}")


@flag_names.as_arguments()
def resolve(objective: Any, temperature: float | None = None, **options: Any) -> tuple[Any, float]:
    """Returns an objective and the default weight of its label term.

    Args:
        objective: As for `get`; or a dictionary from output names to these, for models of which
            only some outputs are distilled: the label term then has weight 1 for the others.
        temperature: The temperature; None for the objective's default.
        **options: As for `get`.

    Raises:
        InputError: As for `get`.
    """
    if temperature is not None:
        options["temperature"] = temperature
    if isinstance(objective, Mapping) and not _is_config(objective):
        return {name: get(entry, **options) for name, entry in objective.items()}, 1.0
    found = get(objective, **options)
    if isinstance(objective, str):
        return found, parse(objective)[1]
    return found, found.label_weight


def _is_config(objective: Any) -> bool:
    return isinstance(objective, Mapping) and {"class_name", "config"} <= objective.keys()


def _from_config(config: Mapping[str, Any]) -> Any:
    try:
        return keras.saving.deserialize_keras_object(dict(config))
    except TypeError as error:
        raise InputError(
            f"`objective` was saved as {config['class_name']}, which is not known here; import the "
            "module that defines it."
        ) from error
