"""Multilayer perceptrons for tables, `mlp-DEPTH-WIDTH`.

DEPTH hidden layers of WIDTH units with ReLU and dropout, and a linear layer (Gorishniy et al.,
2021, section 3.1).

References:
    Gorishniy, Rubachev, Khrulkov and Babenko, 2021, "Revisiting Deep Learning Models for Tabular
    Data", arXiv 2106.11959.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ban_tf.architectures import sizes

if TYPE_CHECKING:
    import keras

FORM = "mlp-DEPTH-WIDTH"
DEFAULT = "mlp-2-64"
NAMED = ("depth", "width")
TASK = "tables"


def parse(name: str) -> dict[str, int]:
    """Returns the settings in a name such as `mlp-3-256`.

    Raises:
        InputError: If the name has another form, or a number in it is zero.
    """
    return sizes.parse(name, FORM, DEFAULT)


def extent(depth: int, width: int, **options: float) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    return depth + 1, (depth - 1) * width**2


def build(
    features: int, units: int, *, depth: int, width: int, dropout: float = 0.0
) -> keras.Model:
    """Builds a multilayer perceptron.

    Args:
        features: Numbers in a row.
        units: The number of outputs.
        depth: The number of hidden layers.
        width: Units of each.
        dropout: The rate after each hidden layer.

    Returns:
        A model from float32 `[batch, features]` to float32 outputs `[batch, units]` of a linear
        layer.
    """
    import keras

    rows = keras.Input((features,), name="features")
    x = rows
    for layer in range(1, depth + 1):
        x = keras.layers.Dense(width, kernel_initializer="he_normal", name=f"hidden{layer}")(x)
        x = keras.layers.Activation("relu", name=f"relu{layer}")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout{layer}")(x)
    outputs = keras.layers.Dense(units, dtype="float32", name="logits")(x)
    return keras.Model(rows, outputs, name=f"mlp_{depth}_{width}")
