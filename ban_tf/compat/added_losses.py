"""Distinguishes a model's own losses (`add_loss`) from those of activity regularizers.

Keras also adds the results of an `activity_regularizer` by `add_loss`, and keeps both in one list.
So the calls of these regularizers are counted while the model is called.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras

# Of the current trace; each replica is traced in its own thread.
_pass = threading.local()


class _Counted:
    """An activity regularizer whose calls are counted."""

    def __init__(self, regularizer: Any):
        self._regularizer = regularizer

    def __call__(self, outputs: Any) -> Any:
        _pass.count += 1
        return self._regularizer(outputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._regularizer, name)


@contextlib.contextmanager
def counting(model: keras.Model) -> Iterator[None]:
    """Counts the losses of a model's activity regularizers inside the block."""
    _pass.count = 0
    counted = {}
    for layer in model._flatten_layers():
        regularizer = vars(layer).get("activity_regularizer")
        if regularizer is not None and not isinstance(regularizer, _Counted):
            counted[layer] = regularizer
    for layer, regularizer in counted.items():
        # Not by assignment, which Keras would track.
        vars(layer)["activity_regularizer"] = _Counted(regularizer)
    try:
        yield
    finally:
        for layer, regularizer in counted.items():
            vars(layer)["activity_regularizer"] = regularizer


def has_own(model: keras.Model) -> bool:
    """Returns whether a model added losses besides regularization in its last `counting` pass.

    Args:
        model: The model, in the step of that pass.
    """
    regularizing = len(model._get_regularization_losses()) + getattr(_pass, "count", 0)
    return len(model.losses) > regularizing
