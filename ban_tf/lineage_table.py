"""A lineage as rows: for a data frame, and for the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def rows(
    generations: Sequence[Any], kept: Callable[[list[dict[str, float]]], dict[str, float]]
) -> list[dict[str, Any]]:
    """Returns one row for each generation, ready for `pandas.DataFrame`.

    Args:
        generations: Of a lineage.
        kept: Picks, of a generation's epochs, the one whose weights it kept.

    Returns:
        Its number, whom it learnt from, its epochs and seconds, and what was measured in the
        epoch whose weights were kept; a generation that was given has no measurements.
    """
    table = []
    for generation in generations:
        measured = dict(kept(generation.history)) if generation.history else {}
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
    names = dict.fromkeys(name for row in table for name in row)
    names = [name for name in names if name != "learning_rate"]
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
