"""What a student is asked to match: one topic a file, all of them functions of tensors first.

The names of `names.py`, the classes, and their aliases in the paper.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ban_tf.objectives.names import OBJECTIVES, parse

_HOMES = {
    "Objective": "objective",
    "normalise": "objective",
    "Labels": "labels",
    "LabelCrossEntropy": "labels",
    "DarkKnowledge": "dark_knowledge",
    "ConfidenceWeighted": "confidence_weighting",
    "ImportanceWeighted": "confidence_weighting",
    "PermutedDarkKnowledge": "permutation",
    "FunctionObjective": "function",
}
# As the paper calls them.
_ALIASES = {
    "BAN": "DarkKnowledge",
    "KD": "DarkKnowledge",
    "CWTM": "ConfidenceWeighted",
    "DKPP": "PermutedDarkKnowledge",
}

__all__ = [*_HOMES, *_ALIASES, "OBJECTIVES", "get", "parse", "resolve"]


def get(objective: Any, temperature: float | None = None) -> Any:
    """Returns an objective.

    Args:
        objective: An `Objective`, a name from `OBJECTIVES`, a function or where it is found.
        temperature: For an objective given by name that has one.

    Raises:
        ValueError: There is no such objective, or it has no temperature.
    """
    from ban_tf.objectives.function import FunctionObjective
    from ban_tf.objectives.objective import Objective

    if isinstance(objective, str):
        base, _ = parse(objective)
        if ":" in base:
            objective = FunctionObjective(base)
        else:
            module, name, _ = OBJECTIVES[base]
            objective = getattr(importlib.import_module(module), name)()
    elif not isinstance(objective, Objective):
        if not callable(objective):
            raise ValueError(
                "`objective` must be a name, an Objective, a function or a dictionary of these. "
                f"Received: {objective!r}"
            )
        objective = FunctionObjective(objective)
    if temperature is None:
        return objective
    config = objective.get_config()
    if "temperature" not in config:
        raise ValueError(
            f"`temperature` is {temperature}, but {type(objective).__name__} has no temperature."
        )
    return type(objective).from_config({**config, "temperature": temperature})


def resolve(objective: Any, temperature: float | None = None) -> tuple[Any, float]:
    """Returns an objective, and the weight of the label term beside it unless one is given.

    Args:
        objective: As for `get`; or a dictionary from output names to these, for models of which
            some outputs are distilled: the label term then counts, for the sake of the others.
        temperature: As for `get`.
    """
    if isinstance(objective, Mapping):
        return {name: get(each, temperature) for name, each in objective.items()}, 1.0
    return get(objective, temperature), parse(objective)[1] if isinstance(objective, str) else 0.0


def __getattr__(name: str) -> Any:
    target = _ALIASES.get(name, name)
    if target in _HOMES:
        return getattr(importlib.import_module(f"ban_tf.objectives.{_HOMES[target]}"), target)
    raise AttributeError(f"module 'ban_tf.objectives' has no attribute {name!r}")
