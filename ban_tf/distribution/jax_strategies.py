"""Makes JAX compute on several devices of this machine, for `strategies`."""

from __future__ import annotations

import contextlib

from ban_tf.compat import jax_devices
from ban_tf.errors import InputError


def start(strategy: str, virtual_devices: int | None, batch_size: int) -> None:
    """Chooses the devices; "auto" only those among which a batch is divided evenly.

    Args:
        strategy: "auto", "one" or "mirrored".
        virtual_devices: Number of devices into which to split the processor, if at all.
        batch_size: Examples in a batch of all devices.

    Raises:
        InputError: JAX has already started with other devices, or a batch cannot be divided evenly.
    """
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
    if uneven:
        raise InputError(
            f"--batch_size={batch_size} is that of all devices, and must be a multiple of their "
            f"number, {len(devices)}; or use --strategy=one."
        )
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
