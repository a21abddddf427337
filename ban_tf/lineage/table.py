"""The table of a lineage: for a data frame, and for the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def rows(
    generations: Sequence[Any], pick: Callable[[list[dict[str, float]]], dict[str, float]]
) -> list[dict[str, Any]]:
    """Returns one row per generation, for `pandas.DataFrame`.

    Args:
        generations: The generations of a lineage.
        pick: Returns the row of the kept weights among a generation's rows, for runs that did
            not record it.

    Returns:
        Number, teachers, epochs, seconds, and the metrics of the kept weights; a pretrained
        generation has no metrics.
    """
    table = []
    for generation in generations:
        measured = dict(generation.kept)
        if generation.history and not measured:
            measured = dict(pick(generation.history))
        row = {
            "generation": generation.number,
            "taught_by": generation.taught_by,
            "epochs": len(generation.history),
            "seconds": generation.seconds,
        }
        measured.pop("epoch", None)
        table.append({**row, **measured})
    return table


def as_text(table: Sequence[dict[str, Any]]) -> str:
    """Formats rows as a table of metrics, without settings.

    Args:
        table: The result of `rows`.
    """
    if not table:
        return "no generation yet"
    found = dict.fromkeys(name for row in table for name in row)
    names = [name for name in found if name != "learning_rate"]
    lines = [[name.replace("_", " ") for name in names]]
    lines += [[_cell(name, row.get(name)) for name in names] for row in table]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "seconds":
        return f"{value:.1f}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
