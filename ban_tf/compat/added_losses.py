"""Which of a model's losses are its own (`add_loss`), and which only regularize its activities.

Keras adds what an `activity_regularizer` returns by `add_loss`, too, and keeps both in one list. So
what these regularizers return is counted while the model is called.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras

# Of the pass that is being traced; replicas are traced in threads of their own.
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
    """Counts, inside the block, the losses of activity regularizers of a model that is called."""
    _pass.count = 0
    counted = {}
    for layer in model._flatten_layers():
        regularizer = vars(layer).get("activity_regularizer")
        if regularizer is not None and not isinstance(regularizer, _Counted):
            counted[layer] = regularizer
    for layer, regularizer in counted.items():
        # Not by assignment, of which Keras would keep track.
        vars(layer)["activity_regularizer"] = _Counted(regularizer)
    try:
        yield
    finally:
        for layer, regularizer in counted.items():
            vars(layer)["activity_regularizer"] = regularizer


def has_own(model: keras.Model) -> bool:
    """Tells whether a model added losses beside regularization in its last `counting` pass.

    Args:
        model: The model, in the step of that pass.
    """
    regularizing = len(model._get_regularization_losses()) + getattr(_pass, "count", 0)
    return len(model.losses) > regularizing
