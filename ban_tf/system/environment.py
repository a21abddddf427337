"""Software versions and hardware, for the record of a run; nothing that identifies a person."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform

from ban_tf.system import hardware

_PACKAGES = ("ban_tf", "tensorflow", "keras", "numpy", "scipy")


def describe() -> dict[str, str]:
    """Returns descriptions of versions and hardware, by name."""
    import tensorflow as tf

    facts = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # not installed, run from a checkout
            continue
    facts["system"] = f"{platform.system()} {platform.release()} on {platform.machine()}"
    facts["processor"] = f"{_processor()}, {os.cpu_count()} cores"
    if memory := _memory():
        facts["memory"] = memory
    devices = [
        tf.config.experimental.get_device_details(device).get("device_name", device.name)
        for device in tf.config.list_physical_devices()
        if device.device_type != "CPU"
    ]
    facts["accelerators"] = ", ".join(devices) or "none"
    return facts


def _processor() -> str:
    try:
        lines = (
            pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        )
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    memory = hardware.memory()
    return f"{memory / 2**30:.0f} GiB" if memory else ""
