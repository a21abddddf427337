"""CPU feature flags from `/proc/cpuinfo`, usable cores, and the size of the memory."""

from __future__ import annotations

import os
import pathlib

from ban_tf.errors import InputError


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


def check_memory(needed: float, given: str, purpose: str) -> None:
    """Checks that this machine has enough memory, if that is known.

    Args:
        needed: Bytes, at least.
        given: What needs them, for the message.
        purpose: What they are for.

    Raises:
        InputError: There are fewer.
    """
    there = memory()
    if there is not None and needed > there:
        raise InputError(
            f"{given} needs more than {needed / 2**30:,.0f} GiB for {purpose}, but this machine "
            f"has {there / 2**30:,.1f} GiB; choose less."
        )


def memory() -> int | None:
    """Returns the bytes of memory of this machine; None if the system does not say."""
    import psutil

    try:
        return psutil.virtual_memory().total
    except (OSError, psutil.Error):
        return None
