"""What summaries of finished runs have in common, of any kind, and the row of a final student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ban_tf.errors import InputError
from ban_tf.metrics import regression, summary
from ban_tf.runs import class_files, number_files, reading


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


def check_takes_strings(to: str, what: str) -> None:
    """Checks that models of a format may take strings.

    Args:
        to: The value of `--to`.
        what: What the exported model takes, for the message, such as "strings".

    Raises:
        InputError: They may not.
    """
    if to not in ("saved_model", "keras"):
        raise InputError(
            f"--preprocessing makes the model take {what}, which --to={to} does not support; "
            "use --to=saved_model or keras, or leave it out."
        )


def final_row(run: reading.RunReader, student: reading.RunReader) -> dict[str, Any]:
    """Returns the metrics of a final student of classes or of a number; see `Task.final_row`."""
    if number_files.TARGETS in run.names():
        numbers = [
            number_files.read_numbers(one, number_files.of_generation(number))
            for number, one in enumerate((run, student))
        ]
        targets, seed = number_files.read_targets(run), reading.settings(run).get("seed", 0)
        return regression.rows(numbers, [[0], [1]], targets, seed)[1]
    first, found = reading.read_predictions(run, 1)[0], reading.read_predictions(student, 2)[1]
    return summary.row(found, class_files.test_labels(run), first)
