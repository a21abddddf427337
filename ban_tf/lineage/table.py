"""A lineage as rows: for a data frame, and for the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def rows(
    generations: Sequence[Any], pick: Callable[[list[dict[str, float]]], dict[str, float]]
) -> list[dict[str, Any]]:
    """Returns one row for each generation, ready for `pandas.DataFrame`.

    Args:
        generations: Of a lineage.
        pick: Returns, of a generation's rows, the one of the kept weights, for generations of
            runs that did not note it.

    Returns:
        Its number, its teachers, its epochs and seconds, and the measurements of the weights that
        it kept; a generation that was given has no measurements.
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
    """Returns rows as a table to be read: what was measured, without what was set.

    Args:
        table: As `rows` returns it.
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
