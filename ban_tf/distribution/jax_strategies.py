"""Makes JAX compute on several devices of this machine, or of several workers, for `strategies`."""

from __future__ import annotations

import contextlib
import functools
import os

from ban_tf.compat import jax_devices, jax_processes, jax_service
from ban_tf.distribution import cluster, listener
from ban_tf.distribution.jax_workers import JaxWorkers
from ban_tf.distribution.workers import Workers
from ban_tf.errors import InputError


def start(strategy: str, virtual_devices: int | None, timeout: float, batch_size: int) -> Workers:
    """Chooses the devices; "auto" only those of a process among which a batch is divided evenly.

    Args:
        strategy: As `--strategy`.
        virtual_devices: Number of devices into which to split the processor, if at all.
        timeout: Seconds to wait for other workers.
        batch_size: Examples in a batch of all devices.

    Raises:
        InputError: JAX has already started with other devices, or a batch cannot be divided evenly.
    """
    if cluster.needed_for(strategy):
        workers, count = _workers(timeout)
        _check_even(batch_size, count)
        return workers
    _start_devices(strategy, virtual_devices, batch_size)
    return Workers()


@functools.lru_cache(maxsize=1)
def _workers(timeout: float) -> tuple[JaxWorkers, int]:
    """Joins the workers of the cluster, once; returns them and their number of devices."""
    own = cluster.own(os.environ)
    host = own.addresses[0].rsplit(":", 1)[0]
    count = len(own.addresses)
    port = str(jax_service.start(count)) if own.index == 0 else ""
    listener.Listener(cluster.listen(own), port)
    cluster.wait_for_all(own, timeout)
    port = port or listener.ask(own.addresses[0])
    messages = jax_processes.join(f"{host}:{port}", own.index, count, timeout)
    monitor = cluster.PeerMonitor(own)
    devices = jax_devices.start_processes()
    if len(set(devices)) > 1:
        raise InputError(
            f"The workers have {', '.join(map(str, devices))} devices; each must have as many as "
            "the others."
        )
    return JaxWorkers(own.index, devices, messages, monitor), sum(devices)


def _check_even(batch_size: int, devices: int) -> None:
    if batch_size % devices:
        raise InputError(
            f"--batch_size={batch_size} is that of all devices, and must be a multiple of their "
            f"number, {devices}; or use --strategy=one."
        )


def _start_devices(strategy: str, virtual_devices: int | None, batch_size: int) -> None:
    import jax

    jax_devices.start(None)
    if strategy == "one":
        return
    if virtual_devices:
        _split_processor(virtual_devices)
    devices = jax.devices("cpu") if virtual_devices else jax.local_devices()
    uneven = batch_size % len(devices)
    processor = devices[0].platform == "cpu"
    if strategy == "auto" and not virtual_devices and (processor or uneven):
        return
    _check_even(batch_size, len(devices))
    jax_devices.start([f"{device.platform}:{device.id}" for device in devices])


def _split_processor(count: int) -> None:
    import jax

    # JAX refuses once it has started, and its first versions do not have the setting.
    with contextlib.suppress(RuntimeError, AttributeError):
        jax.config.update("jax_num_cpu_devices", count)
    found = len(jax.devices("cpu"))
    if found != count:
        raise InputError(
            f"--virtual_devices={count} must be set before JAX starts, which has {found}: set the "
            f"environment variable XLA_FLAGS=--xla_force_host_platform_device_count={count}."
        )
