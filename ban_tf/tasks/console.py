"""The messages that a run prints when it starts and when it ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import keras

from ban_tf.config.options import Options
from ban_tf.report import table
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import shown


def begin(
    options: Options,
    model: keras.Model,
    data: str,
    remarks: Sequence[str],
    directory: RunDirectory,
    devices: str,
) -> None:
    """Prints what will be trained.

    Args:
        options: The options of the run.
        model: The network of generation 0.
        data: A description of the data.
        remarks: Further sentences about the data.
        directory: The run directory.
        devices: A description of the devices; empty for one device.
    """
    many = f"up to {options.max_gens}" if options.gens == "auto" else str(options.gens)
    print(
        f"{' to '.join(options.architectures)} ({model.count_params():,} parameters) on "
        f"{shown.escaped(data)}; "
        f"generation 0 and {many} born again by {options.objective}, "
        f"{shown.counted(options.epochs, 'epoch')} each, {keras.config.dtype_policy().name}"
        f"{devices and ', on ' + devices}; "
        f"stored in {shown.escaped(directory.path)}.",
        *map(shown.escaped, remarks),
        sep="\n",
        flush=True,
    )


def end(
    result: dict[str, Any],
    directory: RunDirectory,
    started: float,
    report: bool,
    nested: bool = False,
) -> None:
    """Prints the results of a run, where they are, and what to do next.

    Args:
        result: Its summary.
        directory: The run directory.
        started: Its start time, by `time.perf_counter`.
        report: Whether report.html was written.
        nested: Whether the run is part of another one, whose command trains no further
            generation here.
    """
    table.show(result)
    seconds = time.perf_counter() - started
    what, page = ("models and the report", "report.html, ") if report else ("models", "")
    print(f"\nIn {seconds:.0f} s. The {what} are in {shown.escaped(directory.path)}:")
    print(f"  generation-*/model.keras, ensemble.keras, {page}summary.md, summary.json")
    if not report:
        print("Write report.html: ", shown.command(["ban-tf", "report", str(directory.path)]))
    curves = shown.command(["tensorboard", "--logdir", str(directory.path / "tensorboard")])
    print(f"Look at the curves:  {curves}")
    if not nested:
        print(f"One more generation: the same command with --gens={len(result['generations'])}")
