"""`ban-tf runs`: what runs there are, how far each is, and how to go on."""

from __future__ import annotations

import datetime
import fcntl
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

NAME = "ban-tf runs"
USAGE = """ban-tf runs [FOLDER ...] [flags]

Lists the runs in runs/, or in other folders, the latest first.
"""
AUTO = "auto"  # what --gens may be instead of a number
_COLUMNS = ("run", "state", "generations done", f"best {METRICS['error'].words}", "last update")


class Status(NamedTuple):
    """Where a run is.

    Attributes:
        path: Its directory.
        state: "running", "finished", "interrupted" or "unreadable".
        finished: How many generations are finished.
        epoch: How many epochs of the next one are.
        wanted: How many there are to be; None if that cannot be read, or is not known yet.
        best_error: The lowest test error of a generation, a fraction; None before the end.
        updated: When its directory was last written to.
        resume: The command that goes on with it.
        trouble: Why it is unreadable; empty if it is not.
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
    """Does what the command line asks for; returns the exit code."""
    return command.run(NAME, USAGE, arguments, _work, _define)


def find(folder: str | pathlib.Path) -> list[Status]:
    """Returns the status of every run below a folder, the latest first.

    Raises:
        InputError: There is no such folder.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; runs are kept in runs/ by default.")
    found = [
        status(path.parent)
        for path in sorted(folder.rglob(MANIFEST))
        if not (path.parents[1] / MANIFEST).is_file()  # a final student is part of its run
    ]
    return sorted(found, key=lambda each: each.updated, reverse=True)


def status(path: pathlib.Path) -> Status:
    """Returns where a run is, without disturbing it."""
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
    # A generation 0 that was given is reported, though nobody trained it here. With --gens=auto
    # there are to be as many as were reported.
    finished = max(finished, reported)
    if wanted is None and reported == finished > 0:
        wanted = reported
    if _held(path):
        state = "running"
    elif wanted is not None and reported >= wanted and complete:
        state = "finished"
    else:
        state = "interrupted"
    return Status(path, state, finished, epoch, wanted, best, updated, reading.resume(run))


def _asked(run: reading.RunReader, flag: str) -> str | None:
    """What the run's flagfile says of a flag, the last time it does."""
    try:
        lines = (run.path / "run.cfg").read_text().splitlines()
    except OSError:
        return None
    return next(
        (line[len(flag) + 3 :] for line in lines[::-1] if line.startswith(f"--{flag}=")), None
    )


def _wanted(run: reading.RunReader) -> int | None:
    """How many generations the run's flagfile asks for, generation 0 included."""
    number = _asked(run, "gens")
    return None if number in (None, AUTO) else int(number) + 1


def _best_error(run: reading.RunReader) -> tuple[float | None, int, bool]:
    """The lowest test error that was reported, of how many generations, and if that is all."""
    try:
        summary = reading.read_summary(run)
    except InputError:
        return None, 0, False
    rows = summary["generations"]
    complete = _asked(run, "final_student") != "true" or "final_student" in summary
    return min(row["error"] for row in rows), len(rows), complete


def _held(path: pathlib.Path) -> bool:
    """Whether a process holds the run's lock."""
    try:
        with (path / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_bool("json", False, "Print JSON instead of a table.", flag_values=values)


def _work(values: flags.FlagValues, names: list[str]) -> None:
    found = [each for name in names or ["runs"] for each in find(name)]
    if values.json:
        rows = [
            {**each._asdict(), "path": str(each.path), "updated": each.updated.isoformat()}
            for each in found
        ]
        print(json.dumps(rows, indent=1))
        return
    if not found:
        print(f"No runs in {', '.join(names or ['runs'])}.")
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=0)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold", justify="left")
    for each in found:
        error = "" if each.best_error is None else METRICS["error"].shown(each.best_error)
        cells = (str(each.path), each.state, _done(each), error, f"{each.updated:%Y-%m-%d %H:%M}")
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(highlight=False)
    console.print(table)
    for each in found:
        if each.state == "interrupted":
            console.print(
                f"\nGo on with {each.path}:\n  {each.resume}", markup=False, soft_wrap=True
            )
        elif each.trouble:
            console.print(f"\n{each.path}: {each.trouble}", markup=False, soft_wrap=True)


def _done(run: Status) -> str:
    if run.state == "unreadable":
        return ""
    epochs = f", {run.epoch} epochs" if run.epoch else ""
    return f"{run.finished} of {'?' if run.wanted is None else run.wanted}{epochs}"
