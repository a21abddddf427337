"""Images that JAX prepares on its device, from bytes and what was drawn for them.

NumPy gathers images and draws. What goes to the device is uint8, a quarter of the bytes of
normalized images, and a few integers per image. Crops, flips and the normalization are one compiled
program for each shape, which the thread of `NumpyBatches` calls. Augmentations that compute colors
or resample stay in NumPy, as they would be rounded differently; so do images that are not uint8.

Normalized pixels are read from a table that NumPy computes. XLA would round a multiplication and
an addition once instead of twice; from the table all devices get the bits of the processor, and so
do recorded teachers, students and predictions, whatever their batches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.datasets import masks, normalization, numpy_policies


def serves() -> bool:
    """Returns whether Keras's backend prepares images on its device: JAX alone."""
    return keras.backend.backend() == "jax"


@functools.cache
def compiled(function: Callable[..., Any], *settings: Any) -> Callable[..., Any]:
    """Returns a function of arrays as a program of JAX, which is compiled once for each shape.

    Args:
        function: Takes settings, arrays, and as `arrays` the module that computes with them.
        *settings: Its first arguments, which are constants of the program.
    """
    import jax

    return jax.jit(functools.partial(function, *settings, arrays=jax.numpy))


def is_on_device(array: Any) -> bool:
    """Returns whether an array of a batch was prepared here."""
    return not isinstance(array, np.ndarray)


class Preparation:
    """Augments and normalizes batches, on the device of JAX what it does exactly.

    Args:
        mean: float32 `[channels]`, of images scaled to 0..1.
        std: float32 `[channels]`, likewise.
        augment: One of `policies.POLICIES`.
        on_device: Whether to use the device; by default as `serves` returns.
    """

    def __init__(
        self,
        mean: np.ndarray,
        std: np.ndarray,
        augment: str | bool = "none",
        on_device: bool | None = None,
    ):
        self._mean, self._std, self._augment = mean, std, augment
        self._on_device = serves() if on_device is None else on_device
        self._table = normalization.table(mean, std)

    def images(self, images: np.ndarray, drawn: Sequence[Any] = ()) -> Any:
        """Returns augmented and normalized images, float32 of the same shape.

        Args:
            images: `[batch, height, width, channels]`, of 0..255.
            drawn: What `numpy_policies.draw` drew for them.

        Raises:
            InputError: They are too small for "crop".
        """
        if not self._on_device or images.dtype != np.uint8:
            images = numpy_policies.apply(self._augment, images, drawn)
            return normalization.normalized(images, self._mean, self._std)
        policy = self._augment
        if not numpy_policies.only_moves_pixels(policy):
            images, policy, drawn = numpy_policies.apply(policy, images, drawn), "none", ()
        return compiled(_moved_and_normalized, policy)(images, tuple(drawn), self._table)

    def masks(self, found: np.ndarray, drawn: Sequence[Any] = ()) -> Any:
        """Returns the classes of pixels, int32 of the same shape, -1 for none.

        Args:
            found: uint8 `[batch, height, width]`, moved as the images are.
            drawn: What was drawn for the images.
        """
        if self._on_device and numpy_policies.only_moves_pixels(self._augment):
            return compiled(_moved_classes, self._augment)(found, tuple(drawn))
        found = numpy_policies.apply_to_masks(self._augment, found, drawn)
        return compiled(_classes)(found) if self._on_device else _classes(found, np)


def _moved_and_normalized(
    policy: str | bool, images: Any, drawn: Any, table: Any, arrays: Any
) -> Any:
    moved = numpy_policies.move(policy, images, drawn, arrays)
    places = table.at[moved, arrays.arange(images.shape[-1])]
    return places.get(mode="promise_in_bounds")  # unchecked: a byte is below 256


def _moved_classes(policy: str | bool, found: Any, drawn: Any, arrays: Any) -> Any:
    return _classes(numpy_policies.move(policy, found[..., None], drawn, arrays)[..., 0], arrays)


def _classes(found: Any, arrays: Any) -> Any:
    return arrays.where(found == masks.VOID, -1, found.astype(np.int32))
