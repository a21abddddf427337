"""What a run says when it begins and when it is done."""

from __future__ import annotations

import time
from typing import Any

import keras

from ban_tf.config.options import Options
from ban_tf.report import table
from ban_tf.runs.rundir import RunDirectory


def begin(
    options: Options,
    model: keras.Model,
    data: str,
    directory: RunDirectory,
    devices: str,
) -> None:
    """Prints what is going to be done.

    Args:
        options: What was asked for.
        model: The network of generation 0.
        data: What is learnt from, in words.
        directory: Where the run is kept.
        devices: What it trains on, in words; empty for one device.
    """
    many = f"up to {options.max_gens}" if options.gens == "auto" else str(options.gens)
    print(
        f"{' to '.join(options.architectures)} ({model.count_params():,} parameters) on {data}; "
        f"generation 0 and {many} born again by {options.objective}, {options.epochs} epoch(s) "
        f"each, {keras.config.dtype_policy().name}{devices and ', on ' + devices}; "
        f"kept in {directory.path}.",
        flush=True,
    )


def end(result: dict[str, Any], directory: RunDirectory, started: float) -> None:
    """Prints what came out of a run, where it is, and what can be done next.

    Args:
        result: Its summary.
        directory: Where it is kept.
        started: When it did, by `time.perf_counter`.
    """
    table.show(result)
    seconds = time.perf_counter() - started
    print(f"\nIn {seconds:.0f} s. The models and the report are in {directory.path}:")
    print("  generation-*/model.keras, ensemble.keras, report.html, summary.md, summary.json")
    print(f"Look at the curves:  tensorboard --logdir {directory.path / 'tensorboard'}")
    print(f"One more generation: the same command with --gens={len(result['generations'])}")
