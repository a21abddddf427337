"""The analysis of a run: kept beside each generation, and drawn when the run is done."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

from ban_tf import analysis
from ban_tf.report import plots
from ban_tf.rundir import RunDirectory

_FILE = "analysis.json"
FIGURE = "analysis.png"
WORDS = (
    "## The gradient of distillation\n\n"
    "How much of it is dark knowledge, how evenly the teacher's confidence weights the samples of "
    "a batch, and how near the student is to its teacher, after each epoch and on the same "
    f"training examples (Furlanello et al., 2018, eqs. 7 to 10).\n\n![Analysis]({FIGURE})\n"
)


def places(directory: RunDirectory, generation: int) -> dict[str, pathlib.Path]:
    """Returns where a generation's analysis is kept, as arguments for `analysis.Analysis`."""
    folder = f"generation-{generation}"
    return {
        "file": directory.path / folder / _FILE,
        "log_directory": directory.path / "tensorboard" / folder / "analysis",
    }


def draw(directory: RunDirectory, generations: Iterable[int]) -> bytes | None:
    """Draws what was analysed, one curve for each generation.

    Args:
        directory: The run.
        generations: The numbers of its generations.

    Returns:
        The bytes of a PNG file; None if nothing was analysed.
    """
    found: dict[int, list[dict[str, Any]]] = {}
    for generation in generations:
        file = places(directory, generation)["file"]
        if file.exists():
            found[generation] = analysis.read(file)
    if not found:
        return None
    return plots.png(plots.learning_curves(found, analysis.QUANTITIES))
