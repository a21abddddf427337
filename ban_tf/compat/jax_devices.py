"""Several devices under JAX: each has its part of the batches that are trained on.

Keras shares batches by `keras.distribution.DataParallel`, all of a data set as its first one, and
fails at a last batch that cannot be shared evenly. Batches of a training all can; others are given
to all devices as a whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras


class TrainingParallel(keras.distribution.DataParallel):
    """Shares the batches of a training among devices, and no others."""

    shares = False

    def get_data_layout(self, data_shape: Sequence[int | None]) -> Any:
        """Returns how data of a shape `[batch, ...]` is placed."""
        if self.shares:
            return super().get_data_layout(data_shape)
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)


def start(devices: Sequence[str] | None) -> None:
    """Makes models that are built from now on compute on devices.

    Args:
        devices: Their names, such as "cpu:0"; None for one device.
    """
    found = None if devices is None else TrainingParallel(devices=list(devices))
    keras.distribution.set_distribution(found)


def count() -> int:
    """Returns the number of devices of `start`; one without it."""
    found = keras.distribution.distribution()
    return len(found.device_mesh.devices) if isinstance(found, TrainingParallel) else 1


@contextlib.contextmanager
def sharing(wanted: bool) -> Iterator[None]:
    """Makes batches that are read inside the block shared among the devices of `start`, or whole.

    Args:
        wanted: Whether they are shared.
    """
    found = keras.distribution.distribution()
    if not isinstance(found, TrainingParallel):
        yield
        return
    before, found.shares = found.shares, wanted
    try:
        yield
    finally:
        found.shares = before
