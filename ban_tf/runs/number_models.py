"""Applies saved models that predict a number, whose last layer is its unit."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

# The name of that layer, a `Rescaling`.
UNIT = "values"


@dataclasses.dataclass(frozen=True)
class NumberModel:
    """A model of standardized numbers, and their unit.

    Attributes:
        model: Returns standardized numbers `[examples, 1]`.
        scale: What one of them is.
        shift: What zero is.
    """

    model: keras.Model
    scale: float = 1.0
    shift: float = 0.0

    def in_unit(self, outputs: np.ndarray) -> np.ndarray:
        """Returns outputs of the model as numbers, float64 `[examples]`."""
        return outputs[:, 0].astype(np.float64) * self.scale + self.shift


def split(model: keras.Model) -> NumberModel:
    """Returns a saved model without its unit, which is then multiplied and added in float64.

    As a layer it computes in float32, which at 1e9 has steps of 64 alone.

    Args:
        model: The model; one without such a layer is kept whole.
    """
    last = model.layers[-1]
    if isinstance(last, keras.layers.Rescaling) and last.name == UNIT:
        within = keras.Model(model.input, last.input, name=model.name)
        return NumberModel(within, last.scale, last.offset)
    return NumberModel(model)
