"""What the declarations of tasks share that predict a number."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ban_tf.errors import InputError
from ban_tf.objectives import names as objective_names

if TYPE_CHECKING:
    from ban_tf.config.options import Options

_OBJECTIVE = "mse+labels"
# Flags that need classes, and the values with which they do nothing.
_OF_CLASSES: dict[str, Any] = {
    "label_smoothing": 0.0,
    "class_weight": None,
    "monitor": "val_accuracy",
    "ensemble_average": "probabilities",
    "tighten_epochs": None,
    "analyse": False,
}


def completed(options: Options, given: Collection[str], what: str, otherwise: str = "") -> Options:
    """Returns options with an objective for a number, after refusing flags of classes.

    Args:
        options: The options.
        given: The flags that were given.
        what: What has the number, the subject of a sentence.
        otherwise: What else to do to have classes, the end of a sentence.

    Raises:
        InputError: The objective or a flag is for classes.
    """
    if "objective" not in given:
        options = dataclasses.replace(options, objective=_OBJECTIVE)
    base, _ = objective_names.parse(options.objective)
    if base in objective_names.OF_CLASSES and base != "labels":
        raise InputError(
            f"--objective={options.objective} is for classes, but {what} is a number to "
            f"predict; choose {', '.join(objective_names.OF_VALUES)}, each also with +labels"
            f"{otherwise}."
        )
    for name, default in _OF_CLASSES.items():
        value = getattr(options, name)
        if value and value != default:
            written = f"--{name}" if value is True else f"--{name}={value}"
            raise InputError(
                f"{written} is for classes, but {what} is a number to predict. Leave it out."
            )
    return options
