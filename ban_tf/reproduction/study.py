"""One row of a table as one study: runs what its columns need, and prints paper and own results.

Each run is a separate `python -m ban_tf.main` with its own directory, so that a study that
was interrupted resumes where it stopped. A separately trained teacher is shared by all rows that
use it.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ban_tf.errors import InputError, RunError
from ban_tf.metrics import summary
from ban_tf.metrics.table import METRICS
from ban_tf.reproduction.experiment import Column, Experiment


class RunFailedError(RunError):
    """A run of a study ended with an exit code other than 0."""

    def __init__(self, code: int):
        super().__init__(f"a run ended with exit code {code}; the same command resumes it.")
        self.code = code


def execute(arguments: Sequence[str]) -> None:
    """Runs `python -m ban_tf.main` in a new process.

    Raises:
        RunFailedError: It ended with another exit code than 0.
    """
    code = subprocess.run([sys.executable, "-m", "ban_tf.main", *arguments], check=False).returncode
    if code:
        raise RunFailedError(code)


def run(
    experiment: Experiment,
    root: pathlib.Path,
    further: Sequence[str] = (),
    execute: Callable[[Sequence[str]], None] = execute,
) -> None:
    """Trains the unfinished runs of an experiment.

    Args:
        experiment: The row of a table.
        root: The directory of all experiments.
        further: Flags for every run, such as `--data_dir=...`.
        execute: Given the arguments of `ban_tf.main`, runs it.

    Raises:
        RunFailedError: A run failed.
    """
    flagfile = _flagfile(experiment.flagfile)
    teacher = []
    if experiment.teacher:
        place = directory(experiment, root, "teacher")
        arguments = [_flagfile(experiment.teacher), "--gens=0", *further, f"--workdir={place}"]
        execute(arguments)
        teacher = [f"--teacher_from={place / 'generation-0' / 'model.keras'}"]
    for name, flags in experiment.runs.items():
        place = directory(experiment, root, name)
        taught = [] if "--gens=0" in flags else teacher
        execute([flagfile, *flags, *taught, *further, f"--workdir={place}"])


def directory(experiment: Experiment, root: pathlib.Path, run: str) -> pathlib.Path:
    """Returns the directory of one of an experiment's runs."""
    if run == "teacher":
        assert experiment.teacher is not None
        return root / "teachers" / experiment.teacher
    return root / experiment.name / run


def figure(experiment: Experiment, root: pathlib.Path, column: Column) -> float | None:
    """Returns our figure for a column, in the paper's unit; None if the run is not finished."""
    try:
        found = summary.load(directory(experiment, root, column.run))
    except InputError:
        return None
    kind, _, which = column.row.partition(" ")
    if kind == "generation":
        rows = [row for row in found["generations"] if row["generation"] == int(which)]
    else:
        rows = [row for row in found["ensembles"] if row["name"] == f"generations {which}"]
    if not rows:
        return None
    return METRICS[column.metric].scale * float(rows[0][column.metric])


def show(experiment: Experiment, root: pathlib.Path) -> None:
    """Prints an experiment's columns, the paper's figures and ours."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, title=experiment.name, title_justify="left")
    perplexity = any("perplexity" in column.metric for column in experiment.columns)
    table.add_column("perplexity" if perplexity else "test error (%)")
    table.add_column("paper", justify="right")
    table.add_column("ours", justify="right")
    for column in experiment.columns:
        table.add_row(
            column.name, _in_words(column.paper), _in_words(figure(experiment, root, column))
        )
    Console(highlight=False).print(table)


def _in_words(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _flagfile(name: str) -> str:
    return f"--flagfile=flags/{name}.cfg"
