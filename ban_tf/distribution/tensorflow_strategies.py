"""Creates the strategies of `tf.distribute` for `strategies`."""

from __future__ import annotations

import functools
import os

import tensorflow as tf

from ban_tf.distribution import cluster
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError


@functools.lru_cache(maxsize=1)
def start(
    name: str, virtual_devices: int | None, timeout: float, rows: int | None = None
) -> Workers:
    """Creates a strategy; "auto" only uses devices among which all `rows` are divided evenly.

    Args:
        name: As `--strategy`.
        virtual_devices: Number of devices into which to split the processor, if at all.
        timeout: Seconds to wait for other workers.
        rows: Examples of a batch; None if they need not be divided evenly.
    """
    if cluster.needed_for(name):
        return _multi_worker(timeout)
    if virtual_devices:
        _split_processor(virtual_devices)
    graphics = tf.config.list_physical_devices("GPU")
    if name == "auto":
        shared = len(graphics) > 1 and not (rows or 0) % len(graphics)
        name = "mirrored" if shared or virtual_devices else "one"
    if name == "one":
        return Workers()
    kind = "GPU" if graphics and not virtual_devices else "CPU"
    devices = tf.config.list_logical_devices(kind)
    # TensorFlow's collectives between virtual devices of one processor may deadlock if there are
    # more devices than cores; reduction on one device does not.
    sums = tf.distribute.ReductionToOneDevice() if kind == "CPU" else None
    return Workers(tf.distribute.MirroredStrategy([device.name for device in devices], sums))


def set_threads(count: int) -> None:
    """Sets the number of threads within an operation."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
    except RuntimeError as error:
        raise InputError(
            f"--threads={count} must be set before TensorFlow starts ({error})."
        ) from error


def _split_processor(count: int) -> None:
    try:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * count,
        )
    except RuntimeError as error:
        raise InputError(
            f"--virtual_devices={count} must be set before TensorFlow starts ({error})."
        ) from error


def _multi_worker(timeout: float) -> Workers:
    own = cluster.own(os.environ)
    with cluster.listen(own):
        cluster.wait_for_all(own, timeout)
    workers = Workers(tf.distribute.MultiWorkerMirroredStrategy())
    workers.monitor = cluster.PeerMonitor(own)
    return workers
