"""What a function of a NumPy batch returns, as float32 logits or values.

Nothing here needs Keras or TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ban_tf.errors import InputError

LOGITS, PROBABILITIES, VALUES = "logits", "probabilities", "values"
OUTPUTS = (LOGITS, PROBABILITIES, VALUES)
_TOLERANCE = 1e-2  # of the sum of probabilities in half precision
# As of a Keras model that ends in a softmax; see `compat.outputs.to_logits`.
_LEAST = 1e-28


class Checked:
    """A function whose outputs are checked, and converted.

    Args:
        function: Takes a batch of NumPy arrays, returns `[batch, classes]` of any framework.
        name: What messages call it.
        outputs: One of `OUTPUTS`; None finds out in the first batch whether it returns logits or
            probabilities.

    Raises:
        InputError: It is no function, or `outputs` is unknown.
    """

    def __init__(self, function: Callable[[Any], Any], name: str, outputs: str | None = None):
        if not callable(function) or isinstance(function, type):
            raise InputError(f"`{name}` must be a function of a batch. Received: {function!r}")
        if outputs is not None and outputs not in OUTPUTS:
            raise InputError(
                f"`outputs` must be one of {', '.join(OUTPUTS)}. Received: {outputs!r}"
            )
        self._function, self._name, self.outputs = function, name, outputs
        self._classes: int | None = None

    def __call__(self, batch: Any) -> np.ndarray:
        """Returns logits or values, float32 `[batch, classes]`.

        Raises:
            InputError: The function returned something else.
        """
        parts = batch.values() if isinstance(batch, dict) else batch
        first = parts if hasattr(parts, "shape") else next(iter(parts))
        found = as_array(self._function(batch))
        if found.ndim == 1:
            found = found[:, np.newaxis]
        if found.ndim != 2 or len(found) != len(first) or found.dtype.kind not in "biuf":
            raise InputError(
                f"`{self._name}` must return numbers of shape [batch, classes]; for a batch of "
                f"{len(first)} it returned {found.dtype} of shape {found.shape}."
            )
        if found.shape[-1] != (self._classes or found.shape[-1]):
            raise InputError(
                f"`{self._name}` returned {found.shape[-1]} classes, and {self._classes} before."
            )
        self._classes = found.shape[-1]
        found = found.astype(np.float64)
        if np.isnan(found).any() or (self.outputs == VALUES and np.isinf(found).any()):
            raise InputError(f"`{self._name}` returned numbers that are not finite.")
        if self.outputs is None:
            self.outputs = _kind_of(found, self._name)
        if self.outputs == PROBABILITIES:
            _check_probabilities(found, self._name)
            found = np.log(np.maximum(found, _LEAST))
        largest = np.finfo(np.float32).max  # -inf is the logit of an impossible class
        return np.clip(found, -largest, largest).astype(np.float32)


def as_array(outputs: Any) -> np.ndarray:
    """Returns a tensor of any framework as an array."""
    for step in ("detach", "cpu"):  # of PyTorch
        outputs = getattr(outputs, step, lambda outputs=outputs: outputs)()
    return np.asarray(outputs)


def _kind_of(found: np.ndarray, name: str) -> str:
    if _are_probabilities(found):
        return PROBABILITIES
    if found.shape[-1] > 1 and (found.min() < -_TOLERANCE or found.max() > 1 + _TOLERANCE):
        return LOGITS
    raise InputError(
        f"`{name}` returned numbers of which it is not clear whether they are logits or "
        "probabilities; name them by `outputs`: 'logits', 'probabilities' or 'values' "
        "(for `BornAgainModel`, teacher_activation='linear' or 'softmax')."
    )


def _are_probabilities(found: np.ndarray) -> bool:
    if found.min() < -1e-6 or found.shape[-1] < 2:
        return False
    return bool(np.all(np.abs(found.sum(axis=-1) - 1) <= _TOLERANCE))


def _check_probabilities(found: np.ndarray, name: str) -> None:
    if not _are_probabilities(found):
        raise InputError(
            f"`{name}` returned numbers that are no probabilities: they must not be negative, and "
            "those of an example must have the sum 1; if they are logits, say outputs='logits'."
        )
