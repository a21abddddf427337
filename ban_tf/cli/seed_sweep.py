"""`--seeds=N`: the same lineage with several seeds, each in its own run directory."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

from ban_tf.config.options import Options
from ban_tf.errors import RunDirectoryError
from ban_tf.runs.rundir import MANIFEST, RunDirectory
from ban_tf.system import shown


def run(options: Options, run_one: Callable[[Options], Any]) -> dict[str, Any]:
    """Runs the unfinished part of each seed, and compares all.

    Args:
        options: With `seeds` greater than one.
        run_one: Runs the options of one seed.

    Returns:
        The comparison; see `report.comparison`.

    Raises:
        RunDirectoryError: The directory is a run of one seed, or cannot be used.
    """
    directory = options.directory
    if os.path.lexists(directory / MANIFEST):
        raise RunDirectoryError(
            f"--workdir={directory} is a run of one seed, whose report the comparison of "
            f"--seeds={options.seeds} would overwrite; choose another directory."
        )
    # Locked, so that no other process does the same.
    with RunDirectory(directory, holds=holds(options, "seed-*")):
        return _run(options, run_one)


def holds(options: Options, *runs: str) -> tuple[str, ...]:
    """Returns patterns of what earlier processes of the same command wrote beside one another.

    Args:
        options: The options of the command.
        *runs: Patterns of its run directories.
    """
    directory, recordings = (
        path.resolve() for path in (options.directory, options.recordings_directory)
    )
    inside = directory in recordings.parents
    shared = recordings.relative_to(directory).parts[:1] if inside else ()
    return (*runs, "report.html*", "summary.md*", "summary.json*", *shared)


def _run(options: Options, run_one: Callable[[Options], Any]) -> dict[str, Any]:
    # Late, so that --help does not wait for SciPy and matplotlib.
    from ban_tf.report import comparison_page

    directories: list[str | pathlib.Path] = []
    for seed in range(options.seed, options.seed + options.seeds):
        directory = options.directory / f"seed-{seed}"
        where = shown.escaped(directory)
        print(f"\nSeed {seed} ({len(directories) + 1} of {options.seeds}), in {where}")
        run_one(dataclasses.replace(options, seed=seed, seeds=1, workdir=str(directory)))
        directories.append(directory)
    linked = "report.html" if options.report else "summary.md"
    result = comparison_page.write(directories, options.directory, linked=linked)
    print("\n" + comparison_page.write_markdown(result))
    print(f"The comparison is in {shown.escaped(options.directory / 'report.html')}.")
    return result
