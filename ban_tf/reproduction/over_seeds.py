"""A row of a table over several seeds: each seed a study of its own, and then all compared.

The seeds' studies are in `seed-N` below the folder of all. What is gained is paired by seed, over
generation 0 and over the control; see `report.comparison`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from ban_tf.errors import InputError
from ban_tf.reproduction import study
from ban_tf.reproduction.experiment import Experiment


def directory(root: pathlib.Path, seed: int) -> pathlib.Path:
    """Returns where a seed's study is kept."""
    return root / f"seed-{seed}"


def run(
    experiment: Experiment, root: pathlib.Path, seeds: Sequence[int], further: Sequence[str] = ()
) -> None:
    """Trains what an experiment lacks of each seed; see `study.run`."""
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
    """Compares what is there of each seed, prints the tables and writes the page.

    Raises:
        InputError: Nothing is there.
    """
    from ban_tf.report import comparison_page  # SciPy and plots, for which --list need not wait

    found = finished(experiment, root, seeds)
    if not found:
        raise InputError(
            f"nothing of {experiment.name} is in {root}; train it with "
            f"ban-tf reproduce {experiment.name}."
        )
    output = root / experiment.name
    print(comparison_page.write_markdown(comparison_page.write(found, output)))
    print(f"The comparison is in {output / 'report.html'}.")
