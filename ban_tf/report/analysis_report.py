"""The files and the figure of the analysis of a run."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from typing import Any

from ban_tf.distillation import analysis
from ban_tf.report import plots
from ban_tf.runs import reading
from ban_tf.runs.rundir import RunDirectory

_FILE = "analysis.json"
FIGURE = reading.ANALYSIS


def places(directory: RunDirectory, generation: int) -> dict[str, pathlib.Path]:
    """Returns the files of a generation's analysis, as arguments for `analysis.Analysis`."""
    folder = f"generation-{generation}"
    return {
        "file": directory.path / folder / _FILE,
        "log_directory": directory.folder("tensorboard") / folder / "analysis",
    }


def draw(directory: RunDirectory, generations: Iterable[int]) -> bytes | None:
    """Draws the analysis of each generation and its teacher's confidence.

    Args:
        directory: The run.
        generations: The numbers of its generations.

    Returns:
        The bytes of a PNG file; None if there is no analysis.
    """
    found: dict[int, list[dict[str, Any]]] = {}
    for generation in generations:
        file = places(directory, generation)["file"]
        if os.path.lexists(file):
            found[generation] = analysis.read(file, directory.path)
    if not found:
        return None
    confidence = ("teacher_confidence_histogram", "the teacher's confidence")
    entropies = {
        generation: f"entropy of weights {rows[-1]['weight_entropy']:.3f}"
        for generation, rows in found.items()
    }
    return plots.png(
        plots.curves_and_distribution(found, analysis.QUANTITIES, confidence, entropies)
    )
