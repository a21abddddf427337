"""CPU feature flags from `/proc/cpuinfo`, usable cores, and the size of the memory."""

from __future__ import annotations

import os
import pathlib


def processor_flags(path: str = "/proc/cpuinfo") -> set[str]:
    """Returns the processor's feature flags; empty if the kernel does not list them."""
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def usable_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # neither on Windows nor on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int | None:
    """Returns the bytes of memory of this machine; None if the system does not say."""
    import psutil

    try:
        return psutil.virtual_memory().total
    except (OSError, psutil.Error):
        return None
