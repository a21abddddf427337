"""`--callbacks=package.module:function`: further Keras callbacks, such as those of a tracker.

The function is called with the run and the number of a generation whenever the training of that
generation starts or is resumed, in the process that writes the run. Its callbacks see the logs of
`fit`; what they compute is not part of the run, so that it may be resumed with others or without.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras

from ban_tf.errors import InputError
from ban_tf.system import user_code
from ban_tf.tasks.run import Run

Callbacks = Callable[[Run, int], list[keras.callbacks.Callback]]


def load(name: str | None) -> Callbacks:
    """Returns the function that returns the callbacks of a generation.

    Args:
        name: `package.module:function`; None for no callbacks.

    Raises:
        InputError: There is no such function, or it does not take a run and a number.
    """
    if name is None:
        return lambda run, generation: []
    function = user_code.load(name, f"--callbacks={name}")
    if not callable(function) or not user_code.takes(function, 2):
        raise InputError(
            f"--callbacks={name} must be a function of a run and the number of a generation. "
            f"Received: {function!r}"
        )
    return functools.partial(_checked, name, function)


def _checked(
    name: str, function: Callable[..., Any], run: Run, generation: int
) -> list[keras.callbacks.Callback]:
    """Returns what the function returns; its own errors are not caught."""
    found = function(run, generation)
    if not isinstance(found, (list, tuple)) or not all(
        isinstance(callback, keras.callbacks.Callback) for callback in found
    ):
        raise InputError(
            f"--callbacks={name} must return a list of Keras callbacks. Received: {found!r}"
        )
    return list(found)
