"""A plain function as an objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ban_tf.errors import InputError
from ban_tf.objectives.objective import Objective
from ban_tf.system import user_code


@keras.saving.register_keras_serializable("ban_tf")
class FunctionObjective(Objective):
    """A custom objective.

    Args:
        function: `(labels, teacher_logits, student_logits) -> loss per sample [batch, ...]`, or
            its name, "package.module:function".

    Raises:
        InputError: The function does not exist.
    """

    needs_labels = True

    def __init__(self, function: Callable[[Any, Any, Any], Any] | str):
        self.function = (
            user_code.load(function, f"`objective` {function!r}")
            if isinstance(function, str)
            else function
        )
        if not callable(self.function):
            raise InputError(f"`objective` must be a function. Received: {function!r}")

    def losses(
        self,
        labels: Any,
        teacher_logits: Any,
        student_logits: Any,
        *,
        sample_weight: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the result of the function, `[batch, ...]`.

        Raises:
            InputError: The function did not return one loss per sample.
        """
        losses = ops.convert_to_tensor(self.function(labels, teacher_logits, student_logits))
        if len(losses.shape) != len(student_logits.shape) - 1:
            raise InputError(
                "A function used as `objective` must return one loss per sample, [batch, ...], "
                f"for logits of shape {tuple(student_logits.shape)}. "
                f"Received shape: {tuple(losses.shape)}"
            )
        return losses

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, the function by its name.

        Raises:
            InputError: The function has no name, such as a lambda or a partial function.
        """
        return {"function": user_code.name_of(self.function, "objective")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FunctionObjective:
        """Creates the objective; looks the function up by its name.

        Raises:
            InputError: Its module is not imported.
        """
        return cls(user_code.load_imported(config["function"], "objective"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.function!r})"
