"""A plain function as an objective."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras

from ban_tf.objectives.objective import Objective


@keras.saving.register_keras_serializable("ban_tf")
class FunctionObjective(Objective):
    """An objective of the user's own.

    Args:
        function: `(labels, teacher_logits, student_logits) -> loss per sample [batch, ...]`, or
            where it is found, as "package.module:function".

    Raises:
        ValueError: There is no such function.
    """

    needs_labels = True

    def __init__(self, function: Callable[[Any, Any, Any], Any] | str):
        self.function = _find(function) if isinstance(function, str) else function

    def losses(
        self, labels: Any, teacher_logits: Any, student_logits: Any, *, seed: Any = None
    ) -> Any:
        """Returns what the function returns, `[batch, ...]`."""
        return self.function(labels, teacher_logits, student_logits)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments; the function by where it is found."""
        return {"function": f"{self.function.__module__}:{self.function.__qualname__}"}


def _find(place: str) -> Callable[[Any, Any, Any], Any]:
    module, _, name = place.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"objective {place!r} was not found ({error}); give package.module:function."
        ) from error
    if not callable(function):
        raise ValueError(f"objective {place!r} is not a function.")
    return function
