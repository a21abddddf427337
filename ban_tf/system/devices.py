"""The accelerators that Keras's backend computes on; `hardware` has the processor."""

from __future__ import annotations

import os
from typing import Any

import keras

from ban_tf.errors import InputError

_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def accelerators() -> list[str]:
    """Returns the name of each accelerator; empty if the processor is all there is."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        return [
            details(device).get("device_name", device.name)
            for device in tf.config.list_physical_devices()
            if device.device_type != "CPU"
        ]
    return [device.device_kind for device in _of_jax()]


def graphics() -> list[tuple[int, int] | None]:
    """Returns the compute capability of each GPU; None where it is unknown."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        return [
            details(device).get("compute_capability")
            for device in tf.config.list_physical_devices("GPU")
        ]
    found = [getattr(device, "compute_capability", None) for device in _of_jax()]
    return [_version(capability) for capability in found]


def make_deterministic() -> None:
    """Makes every operation deterministic.

    Raises:
        InputError: JAX computes on GPUs, and XLA_FLAGS lacks the flag for it.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif _of_jax() and _DETERMINISTIC not in os.environ.get("XLA_FLAGS", ""):
        raise InputError(
            f"--deterministic needs the environment variable XLA_FLAGS={_DETERMINISTIC} where JAX "
            "computes on GPUs."
        )


def _version(capability: str | None) -> tuple[int, int] | None:
    if capability is None:
        return None
    major, _, minor = capability.partition(".")
    return int(major), int(minor or 0)


def _of_jax() -> list[Any]:
    if keras.backend.backend() != "jax":
        return []
    import jax

    return [device for device in jax.local_devices() if device.platform != "cpu"]
