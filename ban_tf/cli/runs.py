"""`ban-tf runs`: lists runs, their progress, and how to resume them."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from absl import flags
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ban_tf.cli import common as command
from ban_tf.errors import InputError
from ban_tf.metrics import kinds
from ban_tf.metrics.table import METRICS
from ban_tf.runs import reading
from ban_tf.runs.rundir import MANIFEST
from ban_tf.system import shown
from ban_tf.system.lock_state import is_locked

NAME = "ban-tf runs"
USAGE = """ban-tf runs [FOLDER ...] [flags]

Lists the runs in runs/, or in other folders, the latest first.
"""
AUTO = "auto"  # the value of --gens that is not a number
_COLUMNS = ("run", "state", "generations done", "best test result", "last update")


class Status(NamedTuple):
    """The status of a run.

    Attributes:
        path: Its directory.
        state: "running", "finished", "interrupted" or "unreadable".
        finished: The number of finished generations.
        epoch: The number of finished epochs of the next generation.
        wanted: The total number of generations; None if unknown.
        best: The best test result of a generation; None if not finished.
        metric: The metric of that result, such as "error".
        updated: The time of the last write to its directory.
        resume: The command that resumes it.
        trouble: Why it is unreadable, or what is wrong with its manifest or its results; else
            empty.
    """

    path: pathlib.Path
    state: str
    finished: int
    epoch: int
    wanted: int | None
    best: float | None
    metric: str
    updated: datetime.datetime
    resume: str
    trouble: str = ""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code."""
    return command.run(NAME, USAGE, arguments, _work, _define)


def find(folder: str | pathlib.Path) -> list[Status]:
    """Returns the status of every run below a folder, the latest first.

    Raises:
        InputError: The folder does not exist.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; runs are in runs/ by default.")
    found = [
        status(path)
        for path in sorted(_with_manifest(folder))
        if not os.path.lexists(path.parent / MANIFEST)  # a final student is part of its run
    ]
    return sorted(found, key=lambda run: run.updated, reverse=True)


def _with_manifest(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the folders that have a manifest, even one that is no file."""
    for place, folders, files in os.walk(folder):
        if MANIFEST in (*folders, *files):
            yield pathlib.Path(place)


def status(path: pathlib.Path) -> Status:
    """Returns the status of a run, without locking it."""
    updated = _time((path / MANIFEST).lstat().st_mtime)
    try:
        run = reading.RunReader(path)
        finished = len(reading.finished_generations(run))
        epoch = len(reading.read_history(run, finished))
        flags = _flags(run)
    except InputError as error:
        return Status(path, "unreadable", 0, 0, None, None, "", updated, "", str(error))
    wanted, trouble = _wanted(flags), run.trouble
    try:
        best, metric, reported, complete = _best(run, flags)
    except InputError as error:  # once the run is resumed, they are written again
        best, metric, reported, complete, trouble = None, "", 0, False, str(error)
    # A pretrained generation 0 is in the summary, too. With --gens=auto the total is the number of
    # generations in the summary.
    finished = max(finished, reported)
    if wanted is None and reported == finished > 0:
        wanted = reported
    if is_locked(path / "lock"):
        state = "running"
    elif wanted is not None and reported >= wanted and complete:
        state = "finished"
    else:
        state = "interrupted"
    resume = reading.resume(run)
    return Status(path, state, finished, epoch, wanted, best, metric, updated, resume, trouble)


def _time(seconds: float) -> datetime.datetime:
    """Returns a time that a file system has noted, which may be after the year 9999."""
    try:
        return datetime.datetime.fromtimestamp(seconds)
    except (OSError, OverflowError, ValueError):
        return datetime.datetime.max


def _flags(run: reading.RunReader) -> dict[str, str]:
    """Returns the flags in the run's flagfile; of one that is given twice, the last value."""
    content = reading.read_unlisted(run, "run.cfg") or b""
    lines = content.decode(errors="replace").splitlines()
    pairs = (line.removeprefix("--").partition("=") for line in lines if line.startswith("--"))
    return {name: value for name, _, value in pairs}


def _wanted(flags: Mapping[str, str]) -> int | None:
    """Returns the number of generations that flags ask for, including generation 0."""
    number = flags.get("gens", AUTO)
    return int(number) + 1 if number.isdecimal() and len(number) < 10 else None


def _best(run: reading.RunReader, flags: Mapping[str, str]) -> tuple[float | None, str, int, bool]:
    """Returns the best result, its metric, the number of generations, and whether all is final."""
    if not reading.has_summary(run):
        return None, "", 0, False
    summary = reading.read_summary(run)
    rows = summary["generations"]
    complete = flags.get("final_student") != "true" or "final_student" in summary
    metric = kinds.of(summary).metric
    best = (max if metric.better == "higher" else min)(row[metric.name] for row in rows)
    return best, metric.name, len(rows), complete


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_bool("json", False, "Print JSON instead of a table.", flag_values=values)


def _work(values: flags.FlagValues, names: list[str]) -> None:
    found = [run for name in names or ["runs"] for run in find(name)]
    if values.json:
        rows = [
            {**run._asdict(), "path": str(run.path), "updated": run.updated.isoformat()}
            for run in found
        ]
        print(json.dumps(rows, indent=1))
        return
    if not found:
        print(f"No runs in {shown.escaped(', '.join(names or ['runs']))}.")
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=0)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold", justify="left")
    for run in found:
        metric = METRICS.get(run.metric)
        best = "" if run.best is None or not metric else f"{metric.label} {metric.shown(run.best)}"
        cells = (
            shown.escaped(run.path),
            run.state,
            _done(run),
            best,
            f"{run.updated:%Y-%m-%d %H:%M}",
        )
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(highlight=False)
    console.print(table)
    for run in found:
        lines = []
        if run.trouble:
            lines += ["", shown.escaped(f"{run.path}: {run.trouble}")]
        if run.state == "interrupted":
            lines += ["", shown.escaped(f"Resume {run.path}:"), shown.escaped(f"  {run.resume}")]
        for line in lines:
            console.print(line, markup=False, soft_wrap=True)


def _done(run: Status) -> str:
    if run.state == "unreadable":
        return ""
    epochs = f", {run.epoch} epochs" if run.epoch else ""
    return f"{run.finished} of {'?' if run.wanted is None else run.wanted}{epochs}"
