"""All that a report shows, gathered from a run directory before anything is written."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

from ban_tf.report import reading, statistics
from ban_tf.rundir import RunDirectoryError


@dataclasses.dataclass(frozen=True)
class Content:
    """What is known of a finished run.

    Attributes:
        path: Its directory.
        summary: See `report.summary`.
        class_names: In the order of the classes.
        predictions: Each generation's log-probabilities [examples, classes].
        test: Labels, and the images that are kept.
        histories: Each generation's rows, one for each epoch.
        resume: The command that goes on with the run.
        analysis: The PNG file of `--analyse`; None where it was not asked for.
    """

    path: pathlib.Path
    summary: dict[str, Any]
    class_names: tuple[str, ...]
    predictions: list[np.ndarray]
    test: reading.Test
    histories: dict[int, list[dict[str, float]]]
    resume: str
    analysis: bytes | None

    def ensemble(self) -> tuple[list[int], np.ndarray]:
        """Returns the ensemble that the run saves: its members, its log-probabilities."""
        members = list(range(1, len(self.predictions))) or [0]
        return members, statistics.mean_log_probabilities(
            [self.predictions[member] for member in members], self.summary["average"]
        )


def read(path: str | pathlib.Path) -> Content:
    """Reads a finished run.

    Args:
        path: Its directory.

    Raises:
        ValueError: There is no run, it has no results yet, or a file is damaged.
    """
    run = reading.RunReader(path)
    summary = reading.read_summary(run)
    generations = len(summary["generations"])
    predictions = reading.read_predictions(run, generations)
    test = reading.read_test(run)
    facts = reading.read_data_facts(run)
    shape = (len(test.labels), len(facts.class_names))
    for number, each in enumerate(predictions):
        if each.shape != shape:
            raise RunDirectoryError(
                f"{run.path}/generation-{number}/predictions.npz has shape {each.shape} where "
                f"the test set needs {shape}."
            )
    return Content(
        run.path,
        summary,
        facts.class_names,
        predictions,
        test,
        {number: reading.read_history(run, number) for number in range(generations)},
        reading.resume(run),
        run.read(reading.ANALYSIS) if run.names(reading.ANALYSIS) else None,
    )
