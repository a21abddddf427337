"""Residual students of a DenseNet, `resnet-KIND-UNITS-RATIO@densenet-...`.

These are the networks of Furlanello et al., 2018, Table 5. `resnet-wide-4-1@densenet-90-60` has
the first convolution and the classifier of a densenet-90-60, and in place of each dense block 4
residual units, which lead to the same shapes: H channels after the block's transition, at the
same resolution. Units are pre-activated:

- `wide`: two 3×3 convolutions, both of RATIO times H channels, and after the last unit of a block a
  transition like a DenseNet's: normalize, ReLU, 1×1 convolution to H;
- `bottleneck`: a 1×1, a 3×3 and a 1×1 convolution of RATIO times H/4, H/4 and H channels.

Where the channels change, the shortcut is a 1×1 convolution of the pre-activated input. A student
uses the first convolution and the classifier of its teacher, frozen
(`ban_tf.distillation.sharing`); without a teacher they are trained like all other layers.

Parameters, in millions, without those two layers, and the paper's, for densenet-90-60 with
`final_transition` and 100 classes. The wide ones equal the paper's up to rounding, which confirms
their structure; the paper does not describe the bottleneck ones completely:

                    paper   ours                          paper   ours
    wide-1-1         20.9  20.99      bottleneck-14-0.5     7.3   7.60
    wide-2-1         43.1  43.11      bottleneck-14-1      17.7  19.17
    wide-4-0.5       24.3  24.33
    wide-4-1         87.3  87.35
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ban_tf.architectures import densenet
from ban_tf.errors import InputError

if TYPE_CHECKING:
    import keras

FORM = "resnet-wide-UNITS-RATIO@densenet-DEPTH-GROWTH, resnet-bottleneck-..."
DEFAULT = "resnet-wide-1-1@densenet-22-12"
NAMED = ("kind", "units", "ratio", "teacher")
SHARES_ENDS = True
KINDS = ("wide", "bottleneck")

_EXPANSION = 4


def parse(name: str) -> dict[str, Any]:
    """Returns the settings in a name such as `resnet-wide-4-0.5@densenet-90-60`.

    Raises:
        InputError: If the name has another form, or a number in it is out of range.
    """
    match = re.fullmatch(r"resnet-(wide|bottleneck)-(\d+)-(\d+\.?\d*|\.\d+)@(densenet-.+)", name)
    if not match:
        raise InputError(
            f"--arch={name}: a residual student is named {FORM}, for example {DEFAULT}"
        )
    units, ratio = int(match[2]), float(match[3])
    if units < 1 or not 0 < ratio <= 10:
        raise InputError(
            f"--arch={name}: there must be at least 1 unit, and the ratio must be above 0 and at "
            f"most 10, not {units} and {ratio:g}"
        )
    densenet.parse(match[4])
    return {"kind": match[1], "units": units, "ratio": ratio, "teacher": match[4]}


def extent(
    kind: str, units: int, ratio: float, teacher: str, *, dropout: float = 0.0, **options: Any
) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    _, dense_blocks = densenet.plan(**densenet.parse(teacher), **options)
    convolutions = 2 if kind == "wide" else 3
    # Of a unit, the 3×3 convolution whose input is as wide as its output.
    narrower = 1 if kind == "wide" else _EXPANSION
    widths = [
        max(1, round(ratio * (block.transition or sum(block.growths)) / narrower))
        for block in dense_blocks
    ]
    return len(widths) * units * convolutions, sum(9 * units * width**2 for width in widths)


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    kind: str,
    units: int,
    ratio: float,
    teacher: str,
    compression: float = 0.5,
    bottleneck: bool = True,
    final_transition: bool = False,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a residual student.

    Args:
        input_shape: Height, width and channels of one image.
        num_classes: The number of logits.
        kind: "wide" or "bottleneck".
        units: Residual units instead of each dense block.
        ratio: The ratio of their width to that of the teacher.
        teacher: The name of the DenseNet with the same shapes.
        compression: See `densenet.plan`.
        bottleneck: See `densenet.plan`.
        final_transition: See `densenet.plan`.
        dropout: The rate before the last convolution of each unit.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, num_classes]`.

    Raises:
        InputError: If a number is out of range.
    """
    import keras

    from ban_tf.architectures import blocks

    first, dense_blocks = densenet.plan(
        **densenet.parse(teacher),
        compression=compression,
        bottleneck=bottleneck,
        final_transition=final_transition,
    )
    images = keras.Input(shape=input_shape, name="images")
    x = blocks.convolution(first, 3, 1, "convolution")(images)
    channels = first
    for index, block in enumerate(dense_blocks, start=1):
        channels = block.transition or channels + sum(block.growths)
        width = max(1, round(ratio * channels))
        inner = width if kind == "wide" else max(1, round(ratio * channels / _EXPANSION))
        for unit in range(1, units + 1):
            name = f"block{index}_unit{unit}"
            x = _unit(x, inner, width if kind == "wide" else channels, kind, dropout, name)
        if kind == "wide":
            x = blocks.normalize_and_relu(x, f"transition{index}")
            x = blocks.convolution(channels, 1, 1, f"transition{index}_convolution")(x)
        if index < len(dense_blocks):
            x = keras.layers.AveragePooling2D(2, padding="same", name=f"transition{index}_pooling")(
                x
            )
    x = blocks.normalize_and_relu(x, "final")
    return keras.Model(images, blocks.classify(x, num_classes), name=f"resnet_{kind}_{units}")


def _unit(x: Any, inner: int, channels: int, kind: str, dropout: float, name: str) -> Any:
    """Applies a residual unit: `[batch, h, w, c]` to `[batch, h, w, channels]`."""
    import keras

    from ban_tf.architectures import blocks

    sizes = [(inner, 3), (channels, 3)]
    if kind == "bottleneck":
        sizes = [(inner, 1), (inner, 3), (channels, 1)]
    activated = blocks.normalize_and_relu(x, f"{name}_part1")
    if x.shape[-1] == channels:
        shortcut = x
    else:
        shortcut = blocks.convolution(channels, 1, 1, f"{name}_projection")(activated)
    x = activated
    for part, (filters, size) in enumerate(sizes, start=1):
        if part > 1:
            x = blocks.normalize_and_relu(x, f"{name}_part{part}")
        if dropout and part == len(sizes):
            x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
        x = blocks.convolution(filters, size, 1, f"{name}_convolution{part}")(x)
    return keras.layers.Add(name=f"{name}_sum")([x, shortcut])
