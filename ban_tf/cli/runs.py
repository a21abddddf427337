"""`ban-tf runs`: lists runs, their progress, and how to resume them."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ban_tf.cli import common as command
from ban_tf.errors import InputError
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
_COLUMNS = ("run", "state", "generations done", f"best {METRICS['error'].label}", "last update")


class Status(NamedTuple):
    """The status of a run.

    Attributes:
        path: Its directory.
        state: "running", "finished", "interrupted" or "unreadable".
        finished: The number of finished generations.
        epoch: The number of finished epochs of the next generation.
        wanted: The total number of generations; None if unknown.
        best_error: The lowest test error of a generation, a fraction; None if not finished.
        updated: The time of the last write to its directory.
        resume: The command that resumes it.
        trouble: Why it is unreadable, or what is wrong with its manifest; else empty.
    """

    path: pathlib.Path
    state: str
    finished: int
    epoch: int
    wanted: int | None
    best_error: float | None
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
        status(path.parent)
        for path in sorted(folder.rglob(MANIFEST))
        if not (path.parents[1] / MANIFEST).is_file()  # a final student is part of its run
    ]
    return sorted(found, key=lambda run: run.updated, reverse=True)


def status(path: pathlib.Path) -> Status:
    """Returns the status of a run, without locking it."""
    updated = datetime.datetime.fromtimestamp((path / MANIFEST).stat().st_mtime)
    try:
        run = reading.RunReader(path)
        finished = len(reading.finished_generations(run))
        epoch = len(reading.read_history(run, finished))
        wanted = _wanted(run)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        trouble = str(error) if isinstance(error, InputError) else f"{path / MANIFEST} is damaged."
        return Status(path, "unreadable", 0, 0, None, None, updated, "", trouble)
    best, reported, complete = _best_error(run)
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
    return Status(
        path, state, finished, epoch, wanted, best, updated, reading.resume(run), run.trouble
    )


def _asked(run: reading.RunReader, flag: str) -> str | None:
    """Returns the last value of a flag in the run's flagfile."""
    try:
        lines = (run.path / "run.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next(
        (line[len(flag) + 3 :] for line in lines[::-1] if line.startswith(f"--{flag}=")), None
    )


def _wanted(run: reading.RunReader) -> int | None:
    """Returns the number of generations in the run's flagfile, including generation 0."""
    number = _asked(run, "gens")
    return None if number in (None, AUTO) else int(number) + 1


def _best_error(run: reading.RunReader) -> tuple[float | None, int, bool]:
    """Returns the lowest test error, the number of generations, and whether these are final."""
    try:
        summary = reading.read_summary(run)
    except InputError:
        return None, 0, False
    rows = summary["generations"]
    complete = _asked(run, "final_student") != "true" or "final_student" in summary
    return min(row["error"] for row in rows), len(rows), complete


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
        error = "" if run.best_error is None else METRICS["error"].shown(run.best_error)
        cells = (
            shown.escaped(run.path),
            run.state,
            _done(run),
            error,
            f"{run.updated:%Y-%m-%d %H:%M}",
        )
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(highlight=False)
    console.print(table)
    for run in found:
        if run.state == "interrupted":
            text = f"\nResume {run.path}:\n  {run.resume}"
        elif run.state == "unreadable":
            text = f"\n{run.path}: {run.trouble}"
        else:
            continue
        console.print(shown.escaped(text, keep="\n"), markup=False, soft_wrap=True)


def _done(run: Status) -> str:
    if run.state == "unreadable":
        return ""
    epochs = f", {run.epoch} epochs" if run.epoch else ""
    return f"{run.finished} of {'?' if run.wanted is None else run.wanted}{epochs}"
