"""The objectives of students: one topic per file, functions of tensors first.

The names of `names.py`, the classes, and their aliases in the paper. A module is imported when its
name is first used, since Keras takes seconds to import.
"""

from __future__ import annotations

import importlib
from typing import Any

from ban_tf.objectives.names import OBJECTIVES, parse

_HOMES = {
    "Objective": "objective",
    "at_temperature": "objective",
    "check_temperature": "objective",
    "check_weight": "objective",
    "needs_teacher": "objective",
    "normalize": "objective",
    "shared_temperature": "objective",
    "take_into_use": "objective",
    "Labels": "labels",
    "LabelCrossEntropy": "labels",
    "DarkKnowledge": "dark_knowledge",
    "ConfidenceWeighted": "confidence_weighting",
    "ImportanceWeighted": "confidence_weighting",
    "PermutedDarkKnowledge": "permutation",
    "DecoupledKnowledge": "decoupled",
    "RelationalMatch": "relational",
    "SquaredError": "regression",
    "HuberError": "regression",
    "TeacherBounded": "regression",
    "Progressive": "progressive",
    "FunctionObjective": "function",
    "as_distillation_loss": "keras_distillation",
    "get": "lookup",
    "resolve": "lookup",
}
# Names in their papers.
_ALIASES = {
    "BAN": "DarkKnowledge",
    "KD": "DarkKnowledge",
    "CWTM": "ConfidenceWeighted",
    "DKPP": "PermutedDarkKnowledge",
    "DKD": "DecoupledKnowledge",
    "DIST": "RelationalMatch",
}

__all__ = [*_HOMES, *_ALIASES, "OBJECTIVES", "parse"]


def __getattr__(name: str) -> Any:
    target = _ALIASES.get(name, name)
    if target in _HOMES:
        return getattr(importlib.import_module(f"ban_tf.objectives.{_HOMES[target]}"), target)
    raise AttributeError(f"module 'ban_tf.objectives' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
