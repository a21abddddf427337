"""The table of a lineage: for a data frame, the screen and notebooks."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

_EMPTY = "no generation yet"


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
    lines = _lines(table)
    if not lines:
        return _EMPTY
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def as_html(table: Sequence[dict[str, Any]]) -> str:
    """Formats rows as an HTML table of metrics, for notebooks.

    Args:
        table: The result of `rows`.
    """
    lines = _lines(table)
    if not lines:
        return f"<p>{_EMPTY}</p>"
    head, *body = ([html.escape(cell) for cell in line] for line in lines)
    parts = ["".join(f'<th scope="col">{cell}</th>' for cell in head)]
    parts += ["".join(f"<td>{cell}</td>" for cell in line) for line in body]
    return "<table>" + "".join(f"<tr>{part}</tr>" for part in parts) + "</table>"


def _lines(table: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Returns the cells of the header and of each generation; none without generations."""
    if not table:
        return []
    found = dict.fromkeys(name for row in table for name in row)
    names = [name for name in found if name != "learning_rate"]
    lines = [[name.replace("_", " ") for name in names]]
    return lines + [[_cell(name, row.get(name)) for name in names] for row in table]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "seconds":
        return f"{value:.1f}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
