"""What an evaluation of a finished run tells of the run, in a summary of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ban_tf.metrics import summary
from ban_tf.runs import reading


def members(
    run: reading.RunReader, predictions: Sequence[np.ndarray] | None = None
) -> list[summary.Member]:
    """Returns the finished generations for a summary, with their log-probabilities if given."""
    known, numbers = run.metadata.get("generations", {}), reading.finished_generations(run)
    given = [None] * len(numbers) if predictions is None else predictions
    return [
        summary.Member(number, known.get(str(number), {}).get("taught_by", "given"), rows)
        for number, rows in zip(numbers, given, strict=True)
    ]


def about(run: reading.RunReader, dataset: str) -> dict[str, Any]:
    """Returns how a run was made, for its summary on a dataset."""
    settings = reading.settings(run)
    return {
        "dataset": dataset,
        "architecture": settings.get("arch", "unknown"),
        "objective": settings.get("objective", "unknown"),
        "seed": settings.get("seed", 0),
    }


def average(run: reading.RunReader) -> str:
    """Returns what the ensembles of a run average: "probabilities" or "logits"."""
    return reading.settings(run).get("ensemble_average", "probabilities")
