"""`--strategy`: one device, several devices in one process, or several workers.

A process has one strategy, created before TensorFlow does anything else.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

import tensorflow as tf

from ban_tf.distribution import cluster, slurm
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError


def start(
    strategy: str,
    *,
    virtual_devices: int | None,
    worker_timeout: float,
    batch_size: int,
    evenly: bool,
    jit: bool,
    threads: int | None = None,
) -> Workers:
    """Returns the workers of a run after all of them have started.

    Args:
        strategy: "auto", "one", "mirrored" or "multiworker".
        virtual_devices: Number of devices into which to split the processor, if at all.
        worker_timeout: Seconds to wait for other workers.
        batch_size: Examples in a batch of all replicas.
        evenly: Whether every replica must have the same number of examples.
        jit: Whether XLA is to compile the training step.
        threads: Number of threads within an operation; None for TensorFlow's default.

    Raises:
        InputError: The cluster or the devices do not exist, or TensorFlow has already started with
            other threads.
    """
    if threads is not None:
        _set_threads(threads)
    workers = _start(strategy, virtual_devices, worker_timeout, batch_size if evenly else None)
    if batch_size < workers.replicas:
        raise InputError(
            f"--batch_size={batch_size} is that of all replicas, of which there are "
            f"{workers.replicas}: give at least as many, or use --strategy=one."
        )
    if (evenly or workers.count > 1) and batch_size % workers.replicas:
        raise InputError(
            f"--batch_size={batch_size} is that of all replicas, and must be a multiple of "
            f"their number, {workers.replicas}; or use --strategy=one."
        )
    if workers.replicas > 1 and jit:
        raise InputError(
            "--jit=yes compiles whole steps with XLA, which TensorFlow cannot do on "
            f"{workers.replicas} replicas; leave it out, or use --strategy=one."
        )
    return workers


@functools.lru_cache(maxsize=1)
def _start(
    name: str, virtual_devices: int | None, timeout: float, rows: int | None = None
) -> Workers:
    """Creates a strategy; "auto" only uses devices among which all `rows` are divided evenly."""
    if name == "auto":
        several = cluster.read(os.environ) or cluster.in_slurm(os.environ)
        name = "multiworker" if several else "auto"
    if name == "multiworker":
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


def _set_threads(count: int) -> None:
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
    if not cluster.read(os.environ) and cluster.in_slurm(os.environ):
        os.environ["TF_CONFIG"] = slurm.tf_config(os.environ)
    own = cluster.read(os.environ)
    if own is None:
        raise InputError(
            "--strategy=multiworker needs a cluster of two workers or more: set TF_CONFIG, start "
            "with srun, or try it out with ban-tf launch --workers=2."
        )
    cluster.wait_for_all(own, timeout)
    workers = Workers(tf.distribute.MultiWorkerMirroredStrategy())
    workers.monitor = cluster.PeerMonitor(own)
    return workers


@contextlib.contextmanager
def abort_on_peer_failure(workers: Workers) -> Iterator[None]:
    """Ends the process with a message when TensorFlow reports that another worker is gone."""
    try:
        yield
    except KeyboardInterrupt:
        if workers.monitor is not None:
            workers.monitor.close()  # the others stop, too
        raise
    except tf.errors.OpError as error:
        if workers.count == 1:
            raise
        first = str(error.message).strip().splitlines()[0][:200]
        cluster.stop_without("another worker", first)


def describe(workers: Workers) -> str:
    """Returns a description of the devices of a run; empty for one device."""
    if workers.strategy is None:
        return ""
    name = type(workers.strategy).__name__
    if workers.count == 1:
        return f"{workers.replicas} replica(s) of {name}"
    return f"{workers.replicas} replicas on {workers.count} workers of {name}"
