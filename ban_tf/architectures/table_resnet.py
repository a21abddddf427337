"""Residual networks for tables, `table-resnet-DEPTH-WIDTH`.

A linear layer of WIDTH units, DEPTH residual blocks of batch normalization, a linear layer of twice
as many units, ReLU, dropout, and a linear layer back, and then batch normalization, ReLU and a
linear layer (Gorishniy et al., 2021, section 3.2).

References:
    Gorishniy, Rubachev, Khrulkov and Babenko, 2021, "Revisiting Deep Learning Models for Tabular
    Data", arXiv 2106.11959.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ban_tf.architectures import sizes

if TYPE_CHECKING:
    import keras

FORM = "table-resnet-DEPTH-WIDTH"
DEFAULT = "table-resnet-2-64"
NAMED = ("depth", "width")
TASK = "tables"

_HIDDEN = 2  # units of the first layer of a block, as a multiple of the width


def parse(name: str) -> dict[str, int]:
    """Returns the settings in a name such as `table-resnet-2-64`.

    Raises:
        InputError: If the name has another form, or a number in it is zero.
    """
    return sizes.parse(name, FORM, DEFAULT)


def extent(depth: int, width: int, **options: float) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    return 2 * depth + 2, 2 * depth * _HIDDEN * width**2


def build(
    features: int, units: int, *, depth: int, width: int, dropout: float = 0.0
) -> keras.Model:
    """Builds a residual network.

    Args:
        features: Numbers in a row.
        units: The number of outputs.
        depth: The number of residual blocks.
        width: Units between them.
        dropout: The rate within each block, after ReLU.

    Returns:
        A model from float32 `[batch, features]` to float32 outputs `[batch, units]` of a linear
        layer.
    """
    import keras

    from ban_tf.architectures.blocks import MOMENTUM

    def normalized(x: Any, name: str) -> Any:
        return keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_normalization")(x)

    def dense(count: int, name: str) -> keras.layers.Layer:
        return keras.layers.Dense(count, kernel_initializer="he_normal", name=name)

    rows = keras.Input((features,), name="features")
    x = dense(width, "first")(rows)
    for block in range(1, depth + 1):
        y = dense(_HIDDEN * width, f"block{block}_dense1")(normalized(x, f"block{block}"))
        y = keras.layers.Activation("relu", name=f"block{block}_relu")(y)
        if dropout:
            y = keras.layers.Dropout(dropout, name=f"block{block}_dropout")(y)
        y = dense(width, f"block{block}_dense2")(y)
        x = keras.layers.Add(name=f"block{block}")([x, y])
    x = keras.layers.Activation("relu", name="last_relu")(normalized(x, "last"))
    outputs = keras.layers.Dense(units, dtype="float32", name="logits")(x)
    return keras.Model(rows, outputs, name=f"table_resnet_{depth}_{width}")
