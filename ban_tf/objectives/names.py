"""The names of objectives, their modules and the default weights of their label terms.

This table needs no Keras, so that a command line is checked before Keras is imported. To add
an objective, write its module and add its line here.
"""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import Any, NamedTuple

from ban_tf.errors import InputError
from ban_tf.system import user_code


class Entry(NamedTuple):
    """One line of the table of objectives."""

    module: str
    name: str
    label_weight: float  # weight of the label term in its paper
    options: MappingProxyType[str, Any] = MappingProxyType({})
    has_temperature: bool = True
    regression: bool = False  # for values instead of classes


def _regression(name: str, label_weight: float) -> Entry:
    return Entry("regression", name, label_weight, has_temperature=False, regression=True)


OBJECTIVES = {
    "labels": Entry("labels", "Labels", 1.0, has_temperature=False),
    "kd": Entry("dark_knowledge", "DarkKnowledge", 0.0),
    "kd-standardized": Entry(
        "dark_knowledge", "DarkKnowledge", 0.0, MappingProxyType({"standardize": True})
    ),
    "cwtm": Entry("confidence_weighting", "ConfidenceWeighted", 0.0, has_temperature=False),
    "importance": Entry("confidence_weighting", "ImportanceWeighted", 0.0, has_temperature=False),
    "dkpp": Entry("permutation", "PermutedDarkKnowledge", 0.0),
    "dkd": Entry("decoupled", "DecoupledKnowledge", 1.0),
    "dist": Entry("relational", "RelationalMatch", 1.0),
    "mse": _regression("SquaredError", 0.0),
    "huber": _regression("HuberError", 0.0),
    "bounded": _regression("TeacherBounded", 1.0),
}

FORMER_NAMES = {"kd-standardised": "kd-standardized"}

OF_CLASSES = tuple(name for name, entry in OBJECTIVES.items() if not entry.regression)
OF_VALUES = tuple(name for name, entry in OBJECTIVES.items() if entry.regression)


def parse(name: str, *, flag: bool = False, values: bool = False) -> tuple[str, float]:
    """Splits an objective's name into the objective and the weight of the label term.

    Args:
        name: Such as "kd", "kd+labels" or "my_package.my_module:my_function".
        flag: Whether it is the value of a flag, for messages.
        values: Whether the flag may name an objective for values.

    Returns:
        The name without "+labels", and the weight of the label term: 1.0 with "+labels",
        otherwise that of its paper. For "labels" it is the whole loss.

    Raises:
        InputError: The objective does not exist, or is not for classes (as a flag).
    """
    if not isinstance(name, str):
        raise InputError(f"`name` must be that of an objective. Received: {name!r}")
    given = f"--objective={name}" if flag else f"`objective` {name!r}"
    base, plus, rest = name.partition("+")
    if plus and rest != "labels":
        raise InputError(f"{given}: only +labels may be added to an objective.")
    if plus and base == "labels":
        raise InputError(f"{given} names the labels twice; give labels alone.")
    if ":" in base:
        user_code.check_name(base, given)
        return base, 1.0 if plus else 0.0
    base = FORMER_NAMES.get(base, base)
    if base not in OBJECTIVES:
        known = OF_CLASSES if flag and not values else tuple(OBJECTIVES)
        close = difflib.get_close_matches(base, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise InputError(
            f"{given} is unknown; {hint}known are {', '.join(known)}, each also "
            "with +labels, and package.module:function."
        )
    if flag and OBJECTIVES[base].regression and not values:
        raise InputError(f"{given} is for regression, but --dataset has classes.")
    return base, 1.0 if plus else OBJECTIVES[base].label_weight
