"""All rows in one table: `ban-tf reproduce --list`."""

from __future__ import annotations

import pathlib
import textwrap
from collections.abc import Iterable

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ban_tf.reproduction import study
from ban_tf.reproduction.experiment import Column, Experiment

_FILE_WIDTH = 100  # columns if there is no terminal


def show(experiments: Iterable[Experiment], root: pathlib.Path) -> None:
    """Prints a line per experiment: the paper's figures, with ours in brackets.

    Args:
        experiments: The experiments.
        root: The directory of our runs; each directly in it, or in folders `seed-N`.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    experiments = list(experiments)
    left = console.width - max(len(experiment.name) for experiment in experiments) - 4
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    table.add_column("row", no_wrap=True)
    table.add_column("paper (ours)")
    for experiment in experiments:
        cells = [_cell(experiment, root, column) for column in experiment.columns]
        table.add_row(experiment.name, _wrapped(cells, left) or "not trained yet")
    console.print(
        "Test error in %, or perplexity for language models: the paper's figure, and in brackets "
        f"ours from {root} (of several seeds the mean). ban-tf reproduce ROW trains what is "
        "missing.\n",
        markup=False,
    )
    console.print(table, markup=False)


def _wrapped(cells: Iterable[str], width: int) -> str:
    """Returns the nonempty cells, wrapped between cells."""
    together = ", ".join(cell.replace(" ", "\xa0") for cell in cells if cell)
    return textwrap.fill(together, max(width, 20), break_on_hyphens=False).replace("\xa0", " ")


def _cell(experiment: Experiment, root: pathlib.Path, column: Column) -> str:
    """Returns a cell such as "BAN 16.95 (17.02)"; empty if there is neither figure."""
    ours = _ours(experiment, root, column)
    figures = [
        "" if column.paper is None else f" {column.paper:.2f}",
        "" if ours is None else f" ({ours:.2f})",
    ]
    return column.name + "".join(figures) if any(figures) else ""


def _ours(experiment: Experiment, root: pathlib.Path, column: Column) -> float | None:
    places = [root, *sorted(root.glob("seed-*"))]
    found = [study.figure(experiment, place, column) for place in places]
    known = [figure for figure in found if figure is not None]
    return float(np.mean(known)) if known else None
