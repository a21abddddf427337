"""Wide residual networks (Zagoruyko and Komodakis, 2016), "wrn-depth-width".

A 3x3 convolution to 16 channels, three groups of pre-activation blocks with 16, 32 and 64 times
``width`` channels at strides 1, 2 and 2, then batch normalisation, ReLU, global average pooling
and a dense layer. A block is twice batch normalisation, ReLU and 3x3 convolution, with optional
dropout between the convolutions, added to its input. Where the shape changes, the shortcut is
a 1x1 convolution of the block's activated input. Convolutions have no bias.

Weight decay is left to the optimiser. Keras is imported when a network is built, not before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

DEFAULT = "wrn-16-1"

GROUPS = ((16, 1), (32, 2), (64, 2))
"""Channels at width 1 and stride of each group."""


def parse(name: str) -> dict[str, int]:
    """Read depth and width from a name such as "wrn-28-2".

    Raises:
        ValueError: If the name has another form, the depth is not 6n + 4 with n of at least 1,
            or the width is below 1.
    """
    match = re.fullmatch(r"wrn-([0-9]+)-([0-9]+)", name)
    if match is None:
        raise ValueError(f"--arch={name} should be of the form wrn-depth-width, such as {DEFAULT}.")
    depth, width = map(int, match.groups())
    if depth < 10 or (depth - 4) % 6:
        below = max(10, depth - (depth - 4) % 6)
        raise ValueError(
            f"--arch={name} has depth {depth}; it should be 6n + 4 with n of at least 1, "
            f"such as {below} or {below + 6}."
        )
    if width < 1:
        raise ValueError(f"--arch={name} has width {width}; it should be at least 1.")
    return {"depth": depth, "width": width}


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: int,
    width: int,
    dropout: float = 0.0,
) -> keras.Model:
    """Build a wide residual network with fresh weights.

    Args:
        input_shape: [height, width, channels] of an image.
        num_classes: Number of logits.
        depth: Number of convolutions as the paper counts them, 6n + 4 for n blocks per group.
        width: Factor on the groups' channels.
        dropout: Rate of dropout between a block's convolutions.

    Returns:
        A model from images [batch, height, width, channels] to float32 logits [batch, classes].

    Raises:
        ValueError: If the dropout rate is not in [0, 1).
    """
    import keras

    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout={dropout} should be at least 0 and below 1.")
    inputs = keras.Input(input_shape, name="image")
    outputs = _convolution(16, 3, 1, "stem_convolution")(inputs)
    for group, (channels, stride) in enumerate(GROUPS, start=1):
        for block in range(1, (depth - 4) // 6 + 1):
            outputs = _block(
                outputs,
                channels * width,
                stride if block == 1 else 1,
                dropout,
                f"group{group}_block{block}",
            )
    outputs = _normalised_relu(outputs, "head")
    outputs = keras.layers.GlobalAveragePooling2D(name="head_pooling")(outputs)
    # Losses and temperatures need the logits' full precision under mixed precision too.
    logits = keras.layers.Dense(
        num_classes, kernel_initializer="he_normal", dtype="float32", name="logits"
    )(outputs)
    return keras.Model(inputs, logits, name=f"wrn-{depth}-{width}")


def _block(inputs: Any, channels: int, stride: int, dropout: float, name: str) -> Any:
    """[batch, height, width, c] -> [batch, height / stride, width / stride, channels]."""
    import keras

    activated = _normalised_relu(inputs, name, "1")
    shortcut = inputs
    if stride != 1 or inputs.shape[-1] != channels:
        shortcut = _convolution(channels, 1, stride, f"{name}_projection")(activated)
    outputs = _convolution(channels, 3, stride, f"{name}_convolution1")(activated)
    outputs = _normalised_relu(outputs, name, "2")
    if dropout:
        outputs = keras.layers.Dropout(dropout, name=f"{name}_dropout")(outputs)
    outputs = _convolution(channels, 3, 1, f"{name}_convolution2")(outputs)
    return keras.layers.Add(name=f"{name}_add")([shortcut, outputs])


def _normalised_relu(inputs: Any, name: str, number: str = "") -> Any:
    import keras

    from ban_tf.layers import BatchNormalization

    outputs = BatchNormalization(
        momentum=0.9, epsilon=1.001e-5, name=f"{name}_normalization{number}"
    )(inputs)
    return keras.layers.ReLU(name=f"{name}_relu{number}")(outputs)


def _convolution(channels: int, size: int, stride: int, name: str) -> keras.layers.Layer:
    import keras

    return keras.layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )
