"""How many images are evaluated at a time: as many as fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from ban_tf.system import devices, hardware

LARGEST = 500
_SMALL = 64 * 64  # pixels up to which it is always `LARGEST`
# Bytes of a batch that accelerators are busy with, and processors, which are no faster with more
# than a few images; and the part of the memory that it may take.
_WANTED, _WANTED_ON_PROCESSORS, _SHARE = 2**30, 2**27, 1 / 8
_FEW = 16
_BATCHES = 5  # of images that are in memory, most of them prepared ahead
_FLOAT = 4  # bytes


def size_for(
    networks: Callable[[], Sequence[Any]], input_shape: Sequence[int], given: int | None = None
) -> int:
    """Returns the number of images of a batch.

    Results do not depend on it beyond rounding. Of small images there are always `LARGEST`, so
    that results of earlier versions are repeated to the last bit.

    Args:
        networks: Returns the networks, for the size of their feature maps.
        input_shape: Height, width and channels.
        given: The value of `--eval_batch_size`.
    """
    if given is not None:
        return given
    if input_shape[0] * input_shape[1] <= _SMALL:
        return LARGEST
    wanted = _WANTED if devices.accelerators() else _WANTED_ON_PROCESSORS
    # Input and output of the largest layer, and the images in float32.
    image = _FLOAT * (2 * largest_map(networks()) + _BATCHES * math.prod(input_shape))
    known = hardware.memory()
    fitting = LARGEST if known is None else int(_SHARE * known // image)
    return max(1, min(LARGEST, fitting, max(_FEW, wanted // image)))


def largest_map(networks: Sequence[Any]) -> int:
    """Returns the number of values of the largest feature map of an image."""
    shapes = (
        tensor.shape
        for network in networks
        for layer in _layers(network)
        for tensor in keras.tree.flatten(getattr(layer, "output", ()))
    )
    return max((math.prod(size or 1 for size in shape[1:]) for shape in shapes), default=0)


def _layers(network: Any) -> Iterator[Any]:
    """Yields the layers of a network, and those of networks in it."""
    for layer in getattr(network, "layers", ()):
        yield layer
        yield from _layers(layer)
