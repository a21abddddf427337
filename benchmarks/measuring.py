"""What all benchmarks share: taking turns, ratios with their spread, the machine, JSON.

A machine that others use as well is slower at one time than at another. Contenders therefore take
turns step by step, and what is quoted is the median of the ratios of neighboring steps with its
quartiles; the absolute times are only there to give an idea.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP = 2


def timed(step: Callable[[], Any]) -> float:
    """Returns the seconds that one call takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def interleave(
    contenders: Mapping[str, Callable[[], Any]], steps: int, warm_up: int = WARM_UP
) -> dict[str, np.ndarray]:
    """Calls contenders in turn.

    Args:
        contenders: Functions that return when their step is done.
        steps: Timed calls of each.
        warm_up: Calls of each beforehand.

    Returns:
        Seconds `[steps]` of each, by name.
    """
    names = list(contenders)
    seconds = {name: [] for name in names}
    for index in range(warm_up + steps):
        # Forwards and backwards in turn: nobody always follows the same other one.
        for name in names if index % 2 else reversed(names):
            elapsed = timed(contenders[name])
            if index >= warm_up:
                seconds[name].append(elapsed)
    return {name: np.array(values) for name, values in seconds.items()}


def compare(seconds: Mapping[str, np.ndarray], name: str, against: str) -> dict[str, float]:
    """Returns median and quartiles of the ratios of neighboring steps."""
    low, median, high = np.quantile(seconds[name] / seconds[against], [0.25, 0.5, 0.75])
    return {"ratio": float(median), "low": float(low), "high": float(high)}


def milliseconds(seconds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns the median time of each contender's step."""
    return {name: float(1e3 * np.median(second)) for name, second in seconds.items()}


def times_as_text(times: Mapping[str, float]) -> str:
    """Returns the milliseconds of contenders as they are printed."""
    return ", ".join(f"{name} {time:.0f} ms" for name, time in times.items())


def as_text(ratio: Mapping[str, float]) -> str:
    """Returns a ratio with its quartiles as it is printed."""
    return f"{ratio['ratio']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


def machine() -> dict[str, Any]:
    """Describes what the numbers were measured on."""
    from ban_tf.system import hardware

    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    wanted = {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}
    versions = {}
    for package in ("tensorflow", "jax", "keras", "numpy", "torch"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "instructions": sorted(wanted & hardware.processor_flags()),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **versions,
    }


def parser(description: str, **defaults: int) -> argparse.ArgumentParser:
    """Returns a parser with the arguments that all benchmarks take.

    Args:
        description: The first line of the benchmark's docstring.
        **defaults: Integer arguments and their defaults.
    """
    made = argparse.ArgumentParser(description=description.splitlines()[0])
    for name, default in defaults.items():
        made.add_argument(f"--{name}", type=int, default=default)
    made.add_argument("--json", type=Path, metavar="PATH", help="also write the results here")
    return made


def write(path: Path | None, results: Any) -> None:
    """Writes results with the machine that they come from, if given a path."""
    if path is not None:
        content = {"machine": machine(), "results": results}
        path.write_text(json.dumps(content, indent=1) + "\n")
