"""Several devices under JAX: each has its part of the batches that are trained on.

Those of one process are for all models that it builds. Those of several processes are for the
models that all of them build and train together, in `of_processes`; other models belong to the
process that builds them, which may use them alone.

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


# The devices of all processes, if there are several.
_of_processes: list[TrainingParallel] = []


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


def start_processes() -> list[int]:
    """Prepares `of_processes`, after they were joined; returns the number of devices of each."""
    import jax

    found = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    names = [f"{device.platform}:{device.id}" for device in found]
    _of_processes[:] = [TrainingParallel(devices=names, auto_shard_dataset=False)]
    places = [device.process_index for device in found]
    return [places.count(index) for index in range(jax.process_count())]


@contextlib.contextmanager
def of_processes() -> Iterator[None]:
    """Builds models inside the block on the devices of all processes, which all must do."""
    with _of_processes[0].scope():
        yield


@contextlib.contextmanager
def of_this_process() -> Iterator[None]:
    """Builds and runs models inside the block in this process alone."""
    found = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(found)


def local(value: Any) -> Any:
    """Returns a copy of an array that this process can use alone, or the array if it can anyway."""
    return value if value.is_fully_addressable else value.addressable_data(0)


@contextlib.contextmanager
def sharing(wanted: bool, model: keras.Model | None = None) -> Iterator[None]:
    """Makes batches that are read inside the block shared among the devices, or whole.

    Args:
        wanted: Whether they are shared. Then each of several processes reads its part of them.
        model: Which computes with them; only one of all processes needs to be given.
    """
    found = keras.distribution.distribution()
    if not isinstance(found, TrainingParallel):
        if not (_of_processes and model is not None and _is_of_processes(model)):
            yield
            return
        found = _of_processes[0]
    before, found.shares = found.shares, wanted
    try:
        with found.scope():
            yield
    finally:
        found.shares = before


def _is_of_processes(model: keras.Model) -> bool:
    return any(not variable.value.is_fully_addressable for variable in model.variables)
