"""The summary as tables, for the screen and as Markdown.

Both show the same cells: first the generations, then the ensembles, then a paragraph of notes on
their significance.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ban_tf.metrics import kinds
from ban_tf.metrics.table import METRICS
from ban_tf.runs.reading import ANALYSIS
from ban_tf.system.shown import counted, escaped

_CHANGE = "change against\ngeneration 0\n(95 % interval)"
_GRADIENT = (
    "## The gradient of distillation\n\n"
    "The share of dark knowledge and the agreement of the student with its teacher, after each "
    "epoch on the same training examples, and the teacher's confidence on these. Weights by its "
    "confidence (CWTM) are more even the nearer their entropy is to 1, that of equal weights "
    f"(Furlanello et al., 2018, eqs. 7 to 10).\n\n![Analysis]({ANALYSIS})"
)
_NARROWEST, _PLAIN = 80, 100  # minimum columns on a terminal; columns of a file


def generation_headings(summary: dict[str, Any]) -> tuple[str, ...]:
    """Returns the headings of the table of generations, broken into lines for the screen."""
    return ("generation", "taught by", *_metric_headings(summary), "seconds")


def ensemble_headings(summary: dict[str, Any]) -> tuple[str, ...]:
    """Returns the headings of the table of ensembles, broken into lines for the screen."""
    return ("ensemble", *_metric_headings(summary))


def _metric_headings(summary: dict[str, Any]) -> tuple[str, ...]:
    # An evaluation on other data has no validation results.
    shown = [name for name in kinds.of(summary).shown if name in summary["generations"][0]]
    # Broken into lines so that the usual table fits a terminal of 80 columns.
    broken = (METRICS[name].label.replace("-", "-\n").replace(" ", "\n") for name in shown)
    return (*broken, _CHANGE)


def measured_on(summary: dict[str, Any]) -> str:
    """Returns a description of the size of the test data."""
    return counted(summary["generations"][0]["examples"], kinds.of(summary).noun)


def averaged(summary: dict[str, Any]) -> str:
    """Returns what ensembles average, such as "probabilities"."""
    return kinds.of(summary).averaged or summary["average"]


def show(summary: dict[str, Any], file: TextIO | None = None) -> None:
    """Prints the tables and the notes.

    Args:
        summary: A summary as `summary.summarize` builds it.
        file: The output stream, standard output by default. Colors and the terminal's width are
            only used on a terminal.
    """
    console = Console(file=file, highlight=False)
    console.width = max(console.width, _NARROWEST) if console.is_terminal else _PLAIN
    console.print(_screen_table(generation_headings(summary), generation_rows(summary), texts=2))
    if summary["ensembles"]:
        console.print()
        console.print(_screen_table(ensemble_headings(summary), ensemble_rows(summary), texts=1))
    console.print()
    console.print(notes(summary), style="dim", markup=False)


def write_markdown(summary: dict[str, Any], has_analysis: bool = False) -> str:
    """Returns the text of `summary.md`.

    Args:
        summary: A summary as `summary.summarize` builds it.
        has_analysis: Whether the figure of `--analyse` is in the same folder.
    """
    run = summary["run"]
    born_again = len(summary["generations"]) - 1
    parts = [
        f"# Born-again {run['architecture']} on {run['dataset']}",
        f"{counted(born_again, 'born-again generation')} after generation 0, "
        f"objective {run['objective']}, seed {run['seed']}"
        + (f", {counted(run['epochs'], 'epoch')} each" if "epochs" in run else "")
        + f"; measured on {measured_on(summary)}.",
        "## Generations",
        markdown_table(generation_headings(summary), generation_rows(summary), texts=2),
    ]
    if summary["ensembles"]:
        parts += [
            "## Ensembles",
            f"Each averages the {averaged(summary)} of its members.",
            markdown_table(ensemble_headings(summary), ensemble_rows(summary), texts=1),
        ]
    parts.append(notes(summary))
    if has_analysis:
        parts.append(_GRADIENT)
    if run.get("command"):
        parts += ["## Run it again", f"```\n{run['command']}\n```"]
    if run.get("files"):
        parts += [
            "## Files",
            "\n".join(f"- `{path}`: {meaning}" for path, meaning in run["files"].items()),
        ]
    return escaped("\n\n".join(parts), keep="\n") + "\n"


def as_html(summary: dict[str, Any]) -> str:
    """Returns the tables and the notes as HTML, for notebooks.

    Args:
        summary: A summary as `summary.summarize` builds it.
    """
    parts = [_html_table(generation_headings(summary), generation_rows(summary))]
    if summary["ensembles"]:
        parts.append(_html_table(ensemble_headings(summary), ensemble_rows(summary)))
    parts.append(f"<p>{html.escape(escaped(notes(summary)))}</p>")
    return "".join(parts)


def _html_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    names = map(html.escape, one_line(headings))
    lines = ["".join(f'<th scope="col">{name}</th>' for name in names)]
    lines += ["".join(f"<td>{html.escape(escaped(cell))}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def notes(summary: dict[str, Any]) -> str:
    """Returns a paragraph on how to read the tables."""
    kind = kinds.of(summary)
    named = (
        *((f"generation {row['generation']}", row) for row in summary["generations"]),
        *((f"the ensemble of {row['name']}", row) for row in summary["ensembles"]),
        *(("the final student", row) for row in final_student(summary)),
    )
    compared = [(name, change) for name, row in named if (change := kind.change(row))]
    collapsed = [
        f"generation {row['generation']}"
        for row in summary["generations"]
        if row["extra"].get("collapsed")
    ]
    warning = (
        f"No better than chance on validation data, and not used as a teacher if there was a "
        f"better one: {_enumerated(collapsed)}. "
        if collapsed
        else ""
    )
    if not compared:
        return f"{warning}Nothing to compare with generation 0 yet."
    unclear = [name for name, change in compared if not change["significant"]]
    clear = [(name, change["difference"]) for name, change in compared if change["significant"]]
    sentences = []
    by = "" if kind.shown[0] == kind.compared else f", by {kind.compared.replace('_', ' ')}"
    for word, names in (
        ("better", [name for name, change in clear if kind.metric.improved(change)]),
        ("worse", [name for name, change in clear if not kind.metric.improved(change)]),
    ):
        if names:
            sentences.append(f"Significantly {word} than generation 0{by}: {_enumerated(names)}.")
    if unclear:
        who = "any row" if len(unclear) == len(compared) else _enumerated(unclear)
        sentences.append(f"There is no significant difference from generation 0{by} for {who}.")
    sentences.append("This takes the number of rows into account (Benjamini and Hochberg, 1995).")
    sentences.append(kind.note)
    return warning + " ".join(sentences)


def generation_rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """Returns the cells of the table of generations, under `generation_headings`."""
    return [
        (
            str(row["generation"]),
            row["taught_by"],
            *_metric_cells(row, kinds.of(summary)),
            f"{row['seconds']:.1f}" if row["seconds"] else "",
        )
        for row in (*summary["generations"], *final_student(summary))
    ]


def final_student(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the row of the final student, if the run has one."""
    row = summary.get("final_student")
    return [] if row is None else [row]


def ensemble_rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """Returns the cells of the table of ensembles, under `ensemble_headings`."""
    kind = kinds.of(summary)
    return [(row["name"], *_metric_cells(row, kind)) for row in summary["ensembles"]]


def _metric_cells(row: dict[str, Any], kind: kinds.Kind) -> tuple[str, ...]:
    change = kind.change(row)
    cells = (_metric_cell(row, name) for name in kind.shown if name in row)
    ends = ("difference", "low", "high")
    return *cells, kind.metric.change(*(change[end] for end in ends)) if change else ""


def _metric_cell(row: dict[str, Any], name: str) -> str:
    interval = row.get(f"{name}_interval") if name == "perplexity" else None
    shown = METRICS[name].shown
    between = f" [{shown(interval[0])}, {shown(interval[1])}]" if interval else ""
    return f"{shown(row[name])}{between}"


def _screen_table(headings: tuple[str, ...], rows: list[tuple[str, ...]], texts: int) -> Table:
    """Returns a table for the screen; the first `texts` columns are text, the others numbers."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=0)
    for column, heading in enumerate(headings):
        is_text = column < texts
        table.add_column(
            heading,
            justify="left" if is_text else "right",
            no_wrap=not is_text,
        )
    for row in rows:
        # Without the space in intervals, the table fits 80 columns.
        numbers = [cell.replace(", ", ",") for cell in row[texts:]]
        # As Text, since rich interprets brackets in a string as markup.
        table.add_row(*(Text(cell) for cell in (*row[:texts], *numbers)))
    return table


def markdown_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], texts: int | Collection[int]
) -> str:
    """Returns a table in Markdown.

    Args:
        headings: The headings of the columns.
        rows: The cells.
        texts: The columns with text rather than numbers, or their number from the left.
    """
    headings = one_line(headings)
    words = range(texts) if isinstance(texts, int) else texts
    rules = [":---" if column in words else "---:" for column in range(len(headings))]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        for cells in (headings, rules, *rows)
    )


def one_line(headings: Sequence[str]) -> list[str]:
    """Returns headings without the line breaks for the screen."""
    return [heading.replace("-\n", "-").replace("\n", " ") for heading in headings]


def _enumerated(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
