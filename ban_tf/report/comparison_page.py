"""A comparison of runs as Markdown, HTML, figures and JSON.

There is one table per metric, with a row for each generation and ensemble of each group, followed
by the settings of the runs. The values are those of `comparison.compare`.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ban_tf.errors import InputError
from ban_tf.metrics import kinds
from ban_tf.metrics.table import METRICS, Metric
from ban_tf.report import comparison, comparison_plots, document, plots
from ban_tf.report.table import markdown_table
from ban_tf.runs import outputs
from ban_tf.system.files import write_atomically
from ban_tf.system.shown import escaped

# The Brier score is only in summary.json.
_SHOWN = tuple(name for name in comparison.COMPARED if name != "brier_score")
_WORDS = ("runs", "generation or ensemble", "verdict")  # headings of columns with text
_NOTES = (
    "All metrics are on the test set; a verdict says which direction is better, and changes of "
    "what is in percent are in percentage points. Changes are paired by seed: the interval is "
    "Student's t of the paired differences over seeds, and shows what to expect from another seed "
    "on this test set. An interval is of one change, but verdicts take all rows of a column into "
    "account: the p-values of paired t tests are adjusted by Benjamini and Hochberg's procedure, "
    "so that no more than 5 % of the changes called better or worse are expected to be false. So "
    "an interval may exclude zero while the verdict is no significant difference."
)
_NO_CONTROL = (
    "A later generation differs from generation 0 by another training, too: runs with "
    "--objective=labels are the control for the effect of training again and of averaging."
)
_CONTROLLED = (
    "The control is {control}: each row is also compared with its row of the same name, which "
    "shows the effect of the objective rather than of training again or of averaging."
)


def shown(result: Mapping[str, Any]) -> dict[str, Metric]:
    """Returns the metrics that all rows of a comparison have."""
    rows = [row for group in result["groups"] for row in group["rows"]]
    found = [name for name in _SHOWN if all(name in row["metrics"] for row in rows)]
    # First the metric by which results of their kind are compared.
    main = {kind.compared for kind in kinds.KINDS.values()}
    return {name: METRICS[name] for name in sorted(found, key=lambda name: name not in main)}


def headings(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the headings of a metric's table."""
    control = [f"change from {result['control']} (95 % interval)", "verdict"]
    return (
        *("runs", "generation or ensemble", "seeds", "mean ± standard deviation"),
        *("change from generation 0 (95 % interval)", "verdict"),
        *(control if result["control"] else []),
    )


def rows(result: Mapping[str, Any], name: str) -> list[tuple[str, ...]]:
    """Returns a metric's cells, under `headings`."""
    metric = METRICS[name]
    return [
        (
            group["name"],
            row["name"].replace("ensemble of generations", "ensemble"),
            str(len(row["metrics"][name]["values"])),
            format_mean(row["metrics"][name], metric),
            *_change(row["metrics"][name]["change"], metric),
            *(
                _change(row["metrics"][name]["change_from_control"], metric)
                if result["control"]
                else ()
            ),
        )
        for group in result["groups"]
        for row in group["rows"]
    ]


def format_mean(found: Mapping[str, Any], metric: Metric) -> str:
    """Returns a mean with its standard deviation over seeds."""
    mean = metric.shown(found["mean"])
    if found["standard_deviation"] is None:
        return mean
    return f"{mean} ± {metric.shown(found['standard_deviation'])}"


def format_change(change: Mapping[str, Any], metric: Metric) -> str:
    """Returns a change with its interval."""
    return metric.change(*(change[end] for end in ("mean", "low", "high")))


def _change(change: Mapping[str, Any] | None, metric: Metric) -> tuple[str, str]:
    if change is None:
        return "", ""
    return format_change(change, metric), verdict(change, metric)


def verdict(change: Mapping[str, Any], metric: Metric) -> str:
    """Returns "better", "worse" or "no significant difference"."""
    if not change["significant"]:
        return "no significant difference"
    return "better" if metric.improved(change["mean"]) else "worse"


def notes(result: Mapping[str, Any]) -> str:
    """Returns the notes on how to read the tables."""
    control = result["control"]
    parts = [_CONTROLLED.format(control=control) if control else _NO_CONTROL, _NOTES]
    if min(len(group["seeds"]) for group in result["groups"]) < 2:
        parts.append("With a single seed, there are no changes with intervals.")
    return " ".join(parts)


def write_markdown(result: Mapping[str, Any]) -> str:
    """Returns the comparison as Markdown."""
    parts = [f"# {_title(result)}", *_absent(result)]
    titles = headings(result)
    texts = [column for column, title in enumerate(titles) if title in _WORDS]
    for name, metric in shown(result).items():
        cells = markdown_table(titles, rows(result, name), texts)
        parts += [f"## {metric.title}", cells]
    parts += [notes(result), "## What was compared"]
    parts.append(
        "\n".join(f"- {group['name']}: {_description(group)}" for group in result["groups"])
    )
    return escaped("\n\n".join(parts), keep="\n") + "\n"


def _title(result: Mapping[str, Any]) -> str:
    return f"Born-again runs on {result['dataset']} compared"


def _absent(result: Mapping[str, Any]) -> list[str]:
    left_out = result.get("left_out")
    return [f"Left out, without results yet: {', '.join(left_out)}."] if left_out else []


def _description(group: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in group["settings"].items())
    return f"{_seeds(group)}{'; ' if settings else ''}{settings}"


def _seeds(group: Mapping[str, Any]) -> str:
    seeds = ", ".join(map(str, group["seeds"]))
    return f"seeds {seeds}" if len(group["seeds"]) > 1 else f"seed {seeds}"


def figures(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Returns the figures of a comparison by name."""
    metrics = shown(result)
    main = _drawn(metrics)
    first = next(iter(main))
    found = {f"{first}_over_seeds": comparison_plots.over_seeds(result, first, main[first])}
    for name, key in (("change", "change"), ("change_from_control", "change_from_control")):
        if _has(result, key):
            found[name] = comparison_plots.changes_over_seeds(result, main, key)
    return found


def _drawn(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Returns the metrics that figures show."""
    return {name: metrics[name] for name in list(metrics)[:3]}


def _direction(metrics: Mapping[str, Metric]) -> str:
    """Returns which side of zero is better in the figures of changes."""
    higher = [metric.label for metric in metrics.values() if metric.better == "higher"]
    if len(higher) == len(metrics):
        return "Right of zero is better"
    beside = f", of {' and '.join(higher)} right of it" if higher else ""
    return f"Left of zero is better{beside}"


def _has(result: Mapping[str, Any], key: str) -> bool:
    cells = (
        metric
        for group in result["groups"]
        for row in group["rows"]
        for metric in row["metrics"].values()
    )
    return any(cell[key] for cell in cells)


def write_page(
    result: Mapping[str, Any], folder: pathlib.Path = pathlib.Path(), linked: str = "report.html"
) -> str:
    """Returns the comparison as one self-contained page.

    Args:
        result: The result of `comparison.compare`.
        folder: The folder of the page, for links to the pages of the runs.
        linked: The file of each run that is linked.
    """
    drawn = {name: plots.svg(figure) for name, figure in figures(result).items()}
    main, metric = next(iter(shown(result).items()))
    sections = []
    control = result["control"]
    for name, heading, words in (
        ("change", "Change from generation 0", "generation 0 of the same seed"),
        ("change_from_control", f"Change from {control}", f"the same row of {control}"),
    ):
        if name in drawn:
            picture = document.Figure(
                drawn[name],
                "svg+xml",
                f"Mean change from {words}, with 95 percent intervals over seeds. "
                f"{_spoken(result, main, name)} The tables below have all values.",
                "Large markers are means over seeds with their 95 % intervals, small ones single "
                f"seeds. {_direction(_drawn(shown(result)))}; filled markers are significant, as "
                "in the tables.",
                wide=True,
            )
            sections.append(document.Section(heading, [picture]))
    picture = document.Figure(
        drawn[f"{main}_over_seeds"],
        "svg+xml",
        f"Mean {metric.label} over seeds by generation. {_means(result, main)}",
        "Small dots are single seeds; lines join the means of generations.",
        wide=True,
    )
    what = metric.label.removeprefix("test ").removesuffix(" (%)")
    heading = f"{what[0].upper()}{what[1:]} by generation"
    sections.append(document.Section(heading, [picture]))
    for name, metric in shown(result).items():
        caption = f"{metric.title}, over seeds; verdicts at a false discovery rate of 5 %"
        table = _table(result, name, caption)
        sections.append(document.Section(metric.title, [table]))
    sections.append(document.Section("What was compared", _provenance(result, folder, linked)))
    lead = [notes(result), *_absent(result)]
    verdicts = [document.Paragraph(text, kind="verdict") for text in lead]
    return document.render(_title(result), sections, verdicts)


def _table(result: Mapping[str, Any], name: str, caption: str) -> document.Table:
    """Returns a metric's table, its rows under the names of their groups."""
    titles, cells = headings(result), rows(result, name)
    groups = [
        (
            f"{group['name']} ({_seeds(group)})",
            [cell[1:2] + cell[3:] for cell in cells if cell[0] == group["name"]],
        )
        for group in result["groups"]
    ]
    kept = titles[1:2] + titles[3:]
    texts = [column for column, title in enumerate(kept) if title in _WORDS]
    return document.Table(caption, kept, groups, texts)


def _spoken(result: Mapping[str, Any], metric: str, key: str) -> str:
    """Returns a sentence on where a metric changed significantly."""
    found: dict[str, list[str]] = {"better": [], "worse": []}
    for group in result["groups"]:
        for row in group["rows"]:
            change = row["metrics"][metric][key]
            if change and change["significant"]:
                found[verdict(change, METRICS[metric])].append(f"{group['name']} {row['name']}")
    words = [f"{word} for {'; '.join(names)}" for word, names in found.items() if names]
    if not words:
        return f"No {metric} changed significantly."
    return f"The {metric} is significantly {', and '.join(words)}."


def _means(result: Mapping[str, Any], name: str) -> str:
    metric = METRICS[name]
    return " ".join(
        f"{group['name']}: "
        + ", ".join(
            f"{row['name']} {format_mean(row['metrics'][name], metric)}"
            for row in group["rows"]
            if len(row["members"]) == 1
        )
        + "."
        for group in result["groups"]
    )


def _provenance(
    result: Mapping[str, Any], folder: pathlib.Path, linked: str
) -> list[document.Block]:
    groups = [(group["name"], _description(group)) for group in result["groups"]]
    links = [
        (f"{group['name']}, seed {seed}", os.path.relpath(f"{run}/{linked}", folder))
        for group in result["groups"]
        for seed, run in zip(group["seeds"], group["runs"], strict=True)
    ]
    settings = [pair for pair in result["settings"].items() if pair[1] != comparison.NOT_SET]
    caption = "Groups of runs, and the settings in which they differ"
    return [
        document.table(caption, ("runs", "of"), groups, texts=2),
        document.table("Common settings of all runs", ("setting", "value"), settings, texts=2),
        document.Subheading("Single runs"),
        document.Links(links),
    ]


def write(
    directories: Sequence[str | pathlib.Path],
    output: str | pathlib.Path,
    control: str | None = None,
    pictures: bool = False,
    linked: str = "report.html",
) -> dict[str, Any]:
    """Compares finished runs and writes `report.html`, `summary.md` and `summary.json`.

    Args:
        directories: The runs; those without results are left out, and listed.
        output: The output folder.
        control: See `comparison.compare`.
        pictures: Whether the figures are also written as PNG into `figures/`.
        linked: The file of each run to which the page links.

    Raises:
        InputError: No run has results, the runs cannot be compared, the output folder is a run, or
            nothing can be written.
    """
    for name in ("report.html", "summary.md", "summary.json"):
        outputs.check_not_of_run(pathlib.Path(output, name), f"--output={output}")
    runs, left_out = comparison.read(directories)
    result = comparison.compare(runs, control) | {"left_out": left_out}
    output = pathlib.Path(output)
    files = {
        "report.html": write_page(result, output, linked).encode(),
        "summary.md": write_markdown(result).encode(),
        "summary.json": (json.dumps(result, indent=1) + "\n").encode(),
    }
    if pictures:
        for name, figure in figures(result).items():
            files[f"figures/{name}.png"] = plots.png(figure, 150)
    try:
        for name, content in files.items():
            write_atomically(output / name, content)
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror}).") from error
    return result
