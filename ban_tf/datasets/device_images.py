"""Images that JAX prepares on its device, from bytes and what was drawn for them.

NumPy gathers images, draws, and computes from it what pixels follow from: a few integers for each
image, row or column. With these, uint8 goes to the device, a quarter of the bytes of normalized
images. There each augmentation and the normalization is a compiled program for each shape, which
the thread of `NumpyBatches` calls. Images that are not uint8 stay in NumPy.

All devices get the bits of the processor, and so do recorded teachers, students and predictions,
in batches of any size. XLA would round a multiplication and an addition of floats once instead of
twice: colors and resampled pixels are therefore computed by integers (`fixed_point`), in NumPy,
too, and normalized pixels are read from a table that NumPy computes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.datasets import masks, normalization, numpy_policies, numpy_step


def serves() -> bool:
    """Returns whether Keras's backend prepares images on its device: JAX alone."""
    return keras.backend.backend() == "jax"


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of arrays as a program of JAX, which is compiled once for each shape.

    Args:
        function: Takes arrays, and as `arrays` the module that computes with them.
    """
    import jax

    return jax.jit(functools.partial(function, arrays=jax.numpy))


def is_on_device(array: Any) -> bool:
    """Returns whether an array of a batch was prepared here."""
    return not isinstance(array, np.ndarray)


class Preparation:
    """Augments and normalizes batches, on the device of JAX or in NumPy, to the same bits.

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
            InputError: They are too small for "crop", or too large for "strong".
        """
        if not self._on_device or images.dtype != np.uint8:
            images = numpy_policies.apply(self._augment, images, drawn)
            return normalization.normalized(images, self._mean, self._std)
        planned = numpy_policies.plan(self._augment, drawn, images.shape[1:])
        images = numpy_policies.change(self._augment, images, planned, _run)
        return _run(_normalized, images, self._table)

    def masks(self, found: np.ndarray, drawn: Sequence[Any] = ()) -> Any:
        """Returns the classes of pixels, int32 of the same shape, -1 for none.

        Args:
            found: uint8 `[batch, height, width]`, moved as the images are.
            drawn: What was drawn for the images.
        """
        run = _run if self._on_device else numpy_step.in_numpy
        planned = numpy_policies.plan(self._augment, drawn, (*found.shape[1:], 1))
        return run(_classes, numpy_policies.change_masks(self._augment, found, planned, run))


def _run(function: Callable[..., Any], *values: Any) -> Any:
    """Returns what a function computes on the device; see `numpy_step.Run`."""
    return compiled(function)(*values)


def _normalized(images: Any, table: Any, arrays: Any) -> Any:
    places = table.at[images, arrays.arange(images.shape[-1])]
    return places.get(mode="promise_in_bounds")  # unchecked: a byte is below 256


def _classes(found: Any, arrays: Any) -> Any:
    return arrays.where(found == masks.VOID, -1, found.astype(np.int32))
