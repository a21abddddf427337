"""`--strategy`: one device, several devices in one process, or several workers.

A process has one strategy, created before TensorFlow does anything else. Under JAX several devices
are those of `keras.distribution`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from ban_tf.compat import jax_devices
from ban_tf.distribution import cluster
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
    if keras.backend.backend() != "tensorflow":
        from ban_tf.distribution import jax_strategies

        return jax_strategies.start(strategy, virtual_devices, worker_timeout, batch_size)
    from ban_tf.distribution import tensorflow_strategies as devices

    if threads is not None:
        devices.set_threads(threads)
    rows = batch_size if evenly else None
    workers = devices.start(strategy, virtual_devices, worker_timeout, rows)
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


@contextlib.contextmanager
def abort_on_peer_failure(workers: Workers) -> Iterator[None]:
    """Ends the process with a message when the backend reports that another worker is gone."""
    try:
        yield
    except KeyboardInterrupt:
        if workers.monitor is not None:
            workers.monitor.close()  # the others stop, too
        raise
    except Exception as error:
        if not workers.reports_other(error):
            raise
        first = str(getattr(error, "message", error)).strip().splitlines()[0][:200]
        cluster.stop_without("another worker", first)


def describe(workers: Workers) -> str:
    """Returns a description of the devices of a run; empty for one device."""
    count = jax_devices.count()
    return f"{count} devices of JAX" if count > 1 else workers.describe()
