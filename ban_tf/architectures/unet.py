"""U-Nets for segmentation (Ronneberger et al., 2015), `unet-DEPTH-WIDTH`.

DEPTH times, two 3x3 convolutions are followed by a pooling that halves the image and doubles the
channels, from WIDTH on; then the way back up, on which each level is joined with the features of
its size on the way down. As is usual today, convolutions are padded and followed by batch
normalization, so that the logits have the size of the image.

References:
    Ronneberger, Fischer and Brox, 2015, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", arXiv 1505.04597.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ban_tf.architectures import sizes
from ban_tf.errors import InputError

if TYPE_CHECKING:
    import keras

TASK = "masks"
FORM = "unet-DEPTH-WIDTH"
DEFAULT = "unet-3-16"
NAMED = ("depth", "width")
_DEEPEST = 10


def parse(name: str) -> dict[str, int]:
    """Returns the depth and the width in a name such as `unet-3-16`.

    Raises:
        InputError: If the name has another form, or a number in it is out of range.
    """
    found = sizes.parse(name, FORM, DEFAULT)
    depth = found["depth"]
    if not 1 <= depth <= _DEEPEST:
        raise InputError(
            f"--arch={name}: the depth of a U-Net must be between 1 and {_DEEPEST}, not {depth}"
        )
    return found


def extent(depth: int, width: int, **options: Any) -> tuple[int, int]:
    """Returns the number of layers, and a lower bound of that of parameters; builds nothing."""
    return 5 * depth + 3, 13 * (width * 2**depth) ** 2  # of the lowest level alone


def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: int,
    width: int,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a U-Net.

    Args:
        input_shape: Height, width and channels of one image.
        num_classes: The number of logits of a pixel.
        depth: How often the image is halved.
        width: The channels of the first level.
        dropout: The rate between the two convolutions of the lowest level.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, height, width, num_classes]`.

    Raises:
        InputError: If the dropout rate is not in [0, 1), or images are too small to be halved.
    """
    import keras

    if min(input_shape[:2]) < 2**depth:
        raise InputError(
            f"--arch=unet-{depth}-{width} halves images {depth} times, but they have "
            f"{input_shape[0]}x{input_shape[1]} pixels; choose a smaller depth or larger images"
        )
    images = keras.Input(shape=input_shape, name="images")
    x, skipped = images, []
    for level in range(depth):
        first = "convolution" if level == 0 else f"down{level}_first"
        x = _convolve(x, width * 2**level, first)
        x = _convolve(x, width * 2**level, f"down{level}_second")
        skipped.append(x)
        x = keras.layers.MaxPooling2D(2, padding="same", name=f"down{level}_pooling")(x)
    x = _convolve(x, width * 2**depth, "middle_first")
    if dropout:
        x = keras.layers.Dropout(dropout, name="middle_dropout")(x)
    x = _convolve(x, width * 2**depth, "middle_second")
    for level in reversed(range(depth)):
        name = f"up{level}"
        x = keras.layers.UpSampling2D(2, name=f"{name}_upsampling")(x)
        x = _convolve(_cut(x, skipped[level], name), width * 2**level, f"{name}_before")
        x = keras.layers.Concatenate(name=f"{name}_joined")([skipped[level], x])
        x = _convolve(x, width * 2**level, f"{name}_first")
        x = _convolve(x, width * 2**level, f"{name}_second")
    logits = keras.layers.Conv2D(
        num_classes, 1, kernel_initializer="he_normal", dtype="float32", name="logits"
    )(x)
    return keras.Model(images, logits, name=f"unet_{depth}_{width}")


def _convolve(x: Any, channels: int, name: str) -> Any:
    """Adds a 3x3 convolution, batch normalization and ReLU."""
    from ban_tf.architectures import blocks

    return blocks.normalize_and_relu(blocks.convolution(channels, 3, 1, name)(x), name)


def _cut(x: Any, wanted: Any, name: str) -> Any:
    """Cuts off the row and column that doubling adds to an odd size."""
    import keras

    down, right = (x.shape[axis] - wanted.shape[axis] for axis in (1, 2))
    if not down and not right:
        return x
    return keras.layers.Cropping2D(((0, down), (0, right)), name=f"{name}_cut")(x)
