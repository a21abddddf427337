"""Software versions and hardware, for the record of a run; nothing that identifies a person."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Iterable

from ban_tf.system import hardware

_PACKAGES = ("ban_tf", "tensorflow", "jax", "keras", "numpy", "scipy")
_COMPUTING = ("tensorflow", "keras", "numpy", "jax", "jaxlib")


def describe() -> dict[str, str]:
    """Returns descriptions of versions and hardware, by name."""
    facts = {"Python": platform.python_version(), **_versions(_PACKAGES)}
    facts["system"] = f"{platform.system()} {platform.release()} on {platform.machine()}"
    facts["processor"] = f"{_processor()}, {os.cpu_count()} cores"
    if memory := _memory():
        facts["memory"] = memory
    facts["accelerators"] = _accelerators()
    return facts


def numerics() -> dict[str, str]:
    """Returns what the last bits of a computation depend on besides its program, by name."""
    import keras

    return {
        "Python": platform.python_version(),
        **_versions(_COMPUTING),
        "backend": keras.backend.backend(),
        "processor": _processor(),
        "accelerators": _accelerators(),
        **_threads(keras.backend.backend()),
    }


def _threads(backend: str) -> dict[str, str]:
    cores = hardware.usable_cores()
    if backend != "tensorflow":  # which have a thread for each core that this process may use
        return {"threads": str(cores)}
    import tensorflow as tf

    threads = {
        "within": tf.config.threading.get_intra_op_parallelism_threads(),
        "between": tf.config.threading.get_inter_op_parallelism_threads(),
    }
    # TensorFlow's 0 is one thread for each core that this process may use.
    return {f"threads {place} operations": str(count or cores) for place, count in threads.items()}


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # not installed, or run from a checkout
            continue
    return found


def _accelerators() -> str:
    from ban_tf.system import devices

    return ", ".join(devices.accelerators()) or "none"


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
