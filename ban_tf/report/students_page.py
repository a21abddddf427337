"""Students of one teacher, of several sizes: their errors against what they cost.

Networks are dictionaries with a name, "error", "error_interval" and "change_in_error" as in the row
of a summary (the change is that against the teacher), "parameters", "bytes" (of the file) and
"milliseconds" (for one image). The first one is the teacher, unless that is no network.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ban_tf.metrics.table import METRICS
from ban_tf.report import document, plots
from ban_tf.report.table import markdown_table
from ban_tf.system.files import write_atomically

_HEADINGS = (
    *("network", METRICS["error"].label, "95 % interval", "change against the teacher"),
    *("parameters", "file (kB)", "one image (ms)"),
)
_NOTES = (
    "Errors are on the test images; changes are paired by image (Agresti and Min, 2005) and in "
    "percentage points, negative is better. The time is the shortest of many, for one "
    "image by TensorFlow on the machine that trained. `ban-tf export --to=litert` makes files for "
    "phones, and --quantize measures them."
)


def write(result: Mapping[str, Any], directory: pathlib.Path) -> None:
    """Writes report.html, summary.md and summary.json.

    Args:
        result: "run", what is common to all, and "networks".
        directory: Their folder.
    """
    files = {
        "summary.json": json.dumps(result, indent=1),
        "summary.md": markdown(result),
        "report.html": page(result),
    }
    for name, text in files.items():
        write_atomically(directory / name, text.encode())


def markdown(result: Mapping[str, Any]) -> str:
    """Returns the table, and what it shows."""
    return f"{markdown_table(_HEADINGS, _rows(result), 1)}\n\n{_NOTES}\n"


def page(result: Mapping[str, Any]) -> str:
    """Returns the self-contained page."""
    run, networks = result["run"], result["networks"]
    named = "; ".join(
        f"{network['name']} {METRICS['error'].shown(network['error'])} % with "
        f"{network['parameters']:,} parameters"
        for network in networks
    )
    picture = document.Figure(
        plots.svg(figure(result)),
        "svg+xml",
        f"Test error by the number of parameters: {named}.",
        "Bars are Wilson's 95 % intervals. A student to the left of another one and not above it "
        "is smaller and no worse.",
        wide=True,
    )
    table = document.table("A teacher and its students", _HEADINGS, _rows(result))
    settings = [[name, str(value)] for name, value in run.items()]
    sections = [
        document.Section("Students", [table, picture, document.Paragraph(_NOTES)]),
        document.Section("Setting", [document.table("Common to all", ("what", "value"), settings)]),
    ]
    return document.render(f"Students on {run['dataset']}", sections)


def figure(result: Mapping[str, Any]) -> Figure:
    """Plots the error of each network against its parameters."""
    drawn, axes = plots.one_panel(6.0, 3.6)
    metric = METRICS["error"]
    for index, network in enumerate(result["networks"]):
        error, (low, high) = network["error"], network["error_interval"]
        axes.errorbar(
            [network["parameters"]],
            [metric.scale * error],
            yerr=[[metric.scale * (error - low)], [metric.scale * (high - error)]],
            label=network["name"],
            capsize=3,
            **{**plots.series_style(index), "linestyle": ""},
        )
    axes.set(xscale="log", xlabel="parameters", ylim=(0, None))
    # Without powers of ten, which need fonts for mathematics.
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(f"{metric.label}, 95 % interval")
    plots.legend(axes, beside=True)
    return drawn


def _rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    metric = METRICS["error"]
    found: list[tuple[str, ...]] = []
    for network in result["networks"]:
        low, high = (metric.shown(end) for end in network["error_interval"])
        change = network["change_in_error"]
        ends = [change[end] for end in ("difference", "low", "high")] if change else []
        found.append(
            (
                network["name"],
                metric.shown(network["error"]),
                f"{low} to {high}",
                metric.change(*ends) if ends else "",
                f"{network['parameters']:,}",
                f"{network['bytes'] / 1000:,.0f}",
                f"{network['milliseconds']:.2f}",
            )
        )
    return found
