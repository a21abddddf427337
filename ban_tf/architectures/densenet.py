"""Densely connected networks (Huang et al., 2017), `densenet-DEPTH-GROWTH`, and their variations.

A 3×3 convolution; three dense blocks at full, half and quarter resolution; batch normalization,
ReLU, global average pooling, and one dense layer. Within a block every unit takes all earlier
outputs and adds GROWTH channels: normalize, ReLU, 1×1 convolution to 4 GROWTH (the
bottleneck), normalize, ReLU, 3×3 convolution to GROWTH. Between blocks a transition keeps half of
the channels (compression 0.5) and pools. A block has (DEPTH - 4) // 6 units, without bottleneck
(DEPTH - 4) // 3. This is DenseNet-BC; compression 1 without bottleneck is the plain DenseNet.

`densenet-90-60@depth=2` has twice the units per block, `densenet-90-60@compression=0.5` dense
blocks of half the width: students that have the hidden sizes of densenet-90-60 after each
transition, from which the growth of each unit follows (Furlanello et al., 2018, Table 4).

The paper (millions of parameters, CIFAR-10, Table 1) only gives depth and growth. A third
transition, `final_transition`, before the classifier matches three of its four counts:

    densenet     paper  Huang et al.  with final_transition
    112-33         6.3          6.89                   7.45
    90-60         16.1         15.05                  16.17
    80-80         22.4         20.95                  22.42
    80-120        50.4         47.05                  50.36

It also matches those of Table 4's depths (CIFAR-100, millions, paper and ours): 0.5 times 21.2 and
21.35, twice 13.7 and 13.74, 3 times 12.9 and 12.95, 4 times 12.6 and 12.60. The meaning
of the paper's compression factors does not follow from its counts (5.1, 10.1 and 80.5 for 0.5,
0.75 and 1.5); here they scale the width of the blocks before a transition: 2.87, 8.20 and 40.5.

References:
    Huang, Liu, van der Maaten and Weinberger, 2017, "Densely Connected Convolutional Networks",
    arXiv 1608.06993.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ban_tf.errors import InputError

if TYPE_CHECKING:
    import keras

FORM = "densenet-DEPTH-GROWTH[@depth=FACTOR][@compression=FACTOR]"
DEFAULT = "densenet-22-12"
NAMED = ("depth", "growth", "depth_factor", "compression_factor")

_BLOCKS = 3
_DEEPEST = 10_000  # that is planned; fewer are built


class Block(NamedTuple):
    """A dense block: the growth of each unit, and the channels after its transition, if any."""

    growths: tuple[int, ...]
    transition: int | None


def parse(name: str) -> dict[str, Any]:
    """Returns the settings in a name such as `densenet-90-60@depth=2`.

    Raises:
        InputError: If the name has another form, or a number in it is out of range.
    """
    match = re.fullmatch(r"densenet-(\d+)-(\d+)((?:@(?:depth|compression)=[\d.]+)*)", name)
    factors = re.findall(r"@(\w+)=(\d+\.?\d*|\.\d+)(?=@|$)", match[3]) if match else []
    if not match or len(factors) != match[3].count("@") or len(dict(factors)) != len(factors):
        raise InputError(
            f"--arch={name}: a DenseNet is named {FORM}, for example densenet-112-33 or "
            "densenet-90-60@depth=2"
        )
    depth, growth = int(match[1]), int(match[2])
    if not 10 <= depth <= _DEEPEST:
        raise InputError(
            f"--arch={name}: the depth of a DenseNet must be at least 10 and at most {_DEEPEST:,}, "
            f"not {depth}"
        )
    if growth < 1:
        raise InputError(
            f"--arch={name}: the growth of a DenseNet must be at least 1, not {growth}"
        )
    settings: dict[str, Any] = {"depth": depth, "growth": growth}
    for key, factor in factors:
        if not 0.1 <= float(factor) <= 10:
            raise InputError(f"--arch={name}: {key} must be between 0.1 and 10, not {factor}")
        settings[f"{key}_factor"] = float(factor)
    return settings


def plan(
    depth: int,
    growth: int,
    *,
    depth_factor: float = 1.0,
    compression_factor: float = 1.0,
    compression: float = 0.5,
    bottleneck: bool = True,
    final_transition: bool = False,
) -> tuple[int, list[Block]]:
    """Returns the channels of the first convolution, and the three blocks.

    Args:
        depth: The depth in the name.
        growth: The channels that each unit adds.
        depth_factor: Factor of the number of units per block.
        compression_factor: Factor of the width of each block before its transition.
        compression: Fraction of the channels that a transition keeps.
        bottleneck: Whether units have a 1×1 convolution before the 3×3 one.
        final_transition: Whether the last block is compressed, too.

    Raises:
        InputError: If a number is out of range, or there are no channels for a unit to add.
    """
    if not 0 < compression <= 1:
        raise InputError(f"--compression={compression}: it must be above 0 and at most 1")
    # Huang et al., 2017, sections 3 and 4.1.
    first = channels = 2 * growth if bottleneck and compression < 1 else 16
    units = (depth - 4) // (6 if bottleneck else 3)
    blocks = []
    for index in range(_BLOCKS):
        width = channels + units * growth
        last = index == _BLOCKS - 1
        transition = int(width * compression) if final_transition or not last else None
        if transition == 0:
            raise InputError(
                f"--compression={compression}: a transition would keep none of its {width} "
                "channels; choose a larger one"
            )
        added = round(width * compression_factor) - channels
        growths = _share_out(added, max(1, round(units * depth_factor)))
        blocks.append(Block(growths, transition))
        if transition is not None:
            channels = transition
    return first, blocks


def _share_out(added: int, units: int) -> tuple[int, ...]:
    """Divides channels among the units of a block; the first ones get the remainder."""
    if added < units:
        raise InputError(
            f"--arch: a dense block of {units} units has only {added} channels to add; choose a "
            "larger compression factor or a smaller depth factor"
        )
    channels, left_over = divmod(added, units)
    return tuple(channels + (unit < left_over) for unit in range(units))


def extent(
    depth: int,
    growth: int,
    *,
    depth_factor: float = 1.0,
    compression_factor: float = 1.0,
    dropout: float = 0.0,
    remat: bool = False,
    **options: Any,
) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    channels, dense_blocks = plan(
        depth,
        growth,
        depth_factor=depth_factor,
        compression_factor=compression_factor,
        **options,
    )
    parameters = 0
    for block in dense_blocks:
        for added in block.growths:
            # A 3×3 convolution reads all channels so far, or (after a 1×1 convolution) 4 × added.
            parameters += 9 * added * min(4 * added, channels)
            channels += added
        channels = block.transition or channels
    return round(depth * depth_factor), parameters


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: int,
    growth: int,
    depth_factor: float = 1.0,
    compression_factor: float = 1.0,
    compression: float = 0.5,
    bottleneck: bool = True,
    final_transition: bool = False,
    dropout: float = 0.0,
    remat: bool = False,
) -> keras.Model:
    """Builds a DenseNet.

    Args:
        input_shape: Height, width and channels of one image.
        num_classes: The number of logits.
        depth: See `plan`.
        growth: See `plan`.
        depth_factor: See `plan`.
        compression_factor: See `plan`.
        compression: See `plan`.
        bottleneck: See `plan`.
        final_transition: See `plan`.
        dropout: The rate after each convolution but the first.
        remat: Whether units are recomputed in the backward pass instead of stored; see
            `blocks.recomputed`.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, num_classes]`.

    Raises:
        InputError: If a number is out of range.
    """
    import keras

    from ban_tf.architectures import blocks

    first, dense_blocks = plan(
        depth,
        growth,
        depth_factor=depth_factor,
        compression_factor=compression_factor,
        compression=compression,
        bottleneck=bottleneck,
        final_transition=final_transition,
    )
    images = keras.Input(shape=input_shape, name="images")
    x = blocks.convolution(first, 3, 1, "convolution")(images)
    for index, block in enumerate(dense_blocks, start=1):
        for number, added in enumerate(block.growths, start=1):
            name = f"block{index}_unit{number}"

            def unit(x: Any, added: int = added, name: str = name) -> Any:
                return _unit(x, added, bottleneck, dropout, name)

            new = blocks.recomputed(unit, x, name) if remat else unit(x)
            x = keras.layers.Concatenate(name=f"{name}_join")([x, new])
        if block.transition:
            x = blocks.normalize_and_relu(x, f"transition{index}")
            x = blocks.convolution(block.transition, 1, 1, f"transition{index}_convolution")(x)
            if dropout:
                x = keras.layers.Dropout(dropout, name=f"transition{index}_dropout")(x)
            if index < _BLOCKS:
                x = keras.layers.AveragePooling2D(
                    2, padding="same", name=f"transition{index}_pooling"
                )(x)
    x = blocks.normalize_and_relu(x, "final")
    return keras.Model(images, blocks.classify(x, num_classes), name=f"densenet_{depth}_{growth}")


def _unit(x: Any, growth: int, bottleneck: bool, dropout: float, name: str) -> Any:
    """Returns the channels that one unit adds: `[batch, h, w, c]` to `[batch, h, w, growth]`."""
    import keras

    from ban_tf.architectures import blocks

    if bottleneck:
        x = blocks.normalize_and_relu(x, f"{name}_first")
        x = blocks.convolution(4 * growth, 1, 1, f"{name}_bottleneck")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"{name}_bottleneck_dropout")(x)
    x = blocks.normalize_and_relu(x, f"{name}_second")
    x = blocks.convolution(growth, 3, 1, f"{name}_convolution")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return x
