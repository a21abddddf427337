"""A row of a table over several seeds: one study per seed, and a comparison of all.

The seeds' studies are in subfolders `seed-N`. Gains over generation 0 and over the control are
paired by seed; see `report.comparison`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from ban_tf.errors import InputError
from ban_tf.reproduction import study
from ban_tf.reproduction.experiment import Experiment


def directory(root: pathlib.Path, seed: int) -> pathlib.Path:
    """Returns the directory of a seed's study."""
    return root / f"seed-{seed}"


def run(
    experiment: Experiment, root: pathlib.Path, seeds: Sequence[int], further: Sequence[str] = ()
) -> None:
    """Trains the unfinished runs of each seed; see `study.run`."""
    for seed in seeds:
        study.run(experiment, directory(root, seed), [*further, f"--seed={seed}"])


def finished(
    experiment: Experiment, root: pathlib.Path, seeds: Sequence[int]
) -> list[pathlib.Path]:
    """Returns the directories of an experiment's runs that have results."""
    places = [
        study.directory(experiment, directory(root, seed), name)
        for name in experiment.runs
        for seed in seeds
    ]
    return [place for place in places if (place / "summary.json").is_file()]


def show(experiment: Experiment, root: pathlib.Path, seeds: Sequence[int]) -> None:
    """Compares the finished runs of each seed, prints the tables and writes the page.

    Raises:
        InputError: There are no finished runs.
    """
    from ban_tf.report import (
        comparison_page,
    )  # late, so that --list does not wait for SciPy and matplotlib

    found = finished(experiment, root, seeds)
    if not found:
        raise InputError(
            f"nothing of {experiment.name} is in {root}; train it with "
            f"ban-tf reproduce {experiment.name}."
        )
    output = root / experiment.name
    print(comparison_page.write_markdown(comparison_page.write(found, output)))
    print(f"The comparison is in {output / 'report.html'}.")
