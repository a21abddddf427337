"""Wide residual networks (Zagoruyko and Komodakis, 2016), `wrn-DEPTH-WIDTH`.

A 3×3 convolution to 16 channels; three groups of residual blocks at full, half and quarter
resolution with 16, 32 and 64 times WIDTH channels; batch normalization, ReLU, global average
pooling, and one dense layer. A block is pre-activated: normalize, ReLU, convolve, twice, with
optional dropout before the second convolution. DEPTH counts the convolutions: 6n + 4 for n
blocks per group.

As in the authors' code, the shortcut of a block that changes the shape is a 1×1 convolution of
the pre-activated input; otherwise it is the raw input. Weight decay is part of the optimizer,
softmax of the loss.

References:
    Zagoruyko and Komodakis, 2016, "Wide Residual Networks", arXiv 1605.07146.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ban_tf.errors import InputError

if TYPE_CHECKING:
    import keras

FORM = "wrn-DEPTH-WIDTH"
DEFAULT = "wrn-16-1"
NAMED = ("depth", "width")


def parse(name: str) -> dict[str, int]:
    """Returns the depth and the width in a name such as `wrn-28-10`.

    Raises:
        InputError: If the name has another form, the depth is not 6n + 4 or the width below 1.
    """
    match = re.fullmatch(r"wrn-(\d+)-(\d+)", name)
    if not match:
        raise InputError(f"--arch={name}: a wide ResNet is named {FORM}, for example wrn-28-10")
    depth, width = int(match[1]), int(match[2])
    if depth < 10 or depth % 6 != 4:
        nearest = max(10, 6 * round((depth - 4) / 6) + 4)
        raise InputError(
            f"--arch={name}: the depth of a wide ResNet must be 6n+4 (10, 16, 22, 28, 40, ...), "
            f"not {depth}; wrn-{nearest}-{width} is close"
        )
    if width < 1:
        raise InputError(
            f"--arch={name}: the width of a wide ResNet must be at least 1, not {width}"
        )
    return {"depth": depth, "width": width}


def extent(depth: int, width: int, **options: Any) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    convolutions = 2 * ((depth - 4) // 6) - 1  # of each group, between maps of the same width
    return depth, sum(convolutions * (3 * channels * width) ** 2 for channels in (16, 32, 64))


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: int,
    width: int,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a wide ResNet.

    Args:
        input_shape: Height, width and channels of one image.
        num_classes: The number of logits.
        depth: 6n + 4, the number of convolutions outside the shortcuts (and the dense layer).
        width: The width factor of the channels.
        dropout: The rate between the two convolutions of a block.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, num_classes]`.

    Raises:
        InputError: If the dropout rate is not in [0, 1).
    """
    import keras

    from ban_tf.architectures import blocks

    images = keras.Input(shape=input_shape, name="images")
    x = blocks.convolution(16, 3, 1, "convolution")(images)
    for group, (channels, stride) in enumerate([(16, 1), (32, 2), (64, 2)], start=1):
        for block in range(1, (depth - 4) // 6 + 1):
            name = f"group{group}_block{block}"
            x = _block(x, channels * width, stride if block == 1 else 1, dropout, name)
    x = blocks.normalize_and_relu(x, "final")
    return keras.Model(images, blocks.classify(x, num_classes), name=f"wrn_{depth}_{width}")


def _block(x: Any, channels: int, stride: int, dropout: float, name: str) -> Any:
    """Adds one residual block: `[batch, h, w, c]` to `[batch, h/stride, w/stride, channels]`."""
    import keras

    from ban_tf.architectures import blocks

    activated = blocks.normalize_and_relu(x, f"{name}_first")
    if stride == 1 and x.shape[-1] == channels:
        shortcut = x
    else:
        shortcut = blocks.convolution(channels, 1, stride, f"{name}_projection")(activated)
    x = blocks.convolution(channels, 3, stride, f"{name}_convolution1")(activated)
    x = blocks.normalize_and_relu(x, f"{name}_second")
    if dropout:
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = blocks.convolution(channels, 3, 1, f"{name}_convolution2")(x)
    return keras.layers.Add(name=f"{name}_sum")([x, shortcut])
