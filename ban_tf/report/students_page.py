"""Students of one teacher, of several sizes: their errors against what they cost.

Networks are dictionaries with a name, "error", "error_interval" and "change_in_error" as in the row
of a summary (the change is that against the teacher), "parameters", "bytes" (of the file) and
"milliseconds" (for one image). The first one is the teacher, unless that is no network. Over
several seeds, "error" is a mean, with its "standard_deviation" and the "values" of the seeds.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ban_tf.metrics import intervals
from ban_tf.metrics.table import METRICS
from ban_tf.report import document, plots
from ban_tf.report.table import markdown_table
from ban_tf.system.files import write_atomically

_HEADINGS = (
    *("network", METRICS["error"].label, "95 % interval", "change against the teacher"),
    *("parameters", "file (kB)", "one image (ms)"),
)
_BY_IMAGE = "changes are paired by image (Agresti and Min, 2005) and"
_BY_SEED = (
    "of several seeds, they are the mean ± standard deviation over seeds, with Student's 95 % "
    "interval of the mean; changes are paired by seed and"
)
_NOTES = (
    " in percentage points, negative is better. The time is the shortest of many, for one "
    "image by TensorFlow on the machine that trained. `ban-tf export --to=litert` makes files for "
    "phones, and --quantize measures them."
)


def over_seeds(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the means of the same networks over seeds.

    Args:
        results: For each seed, at least two, "run" and "networks" as for `write`.
    """
    run, last = dict(results[0]["run"]), results[-1]["run"]
    run["seed"] = f"{run['seed']} to {last['seed']}"
    networks = [_mean(same) for same in zip(*(one["networks"] for one in results), strict=True)]
    teacher = networks[0]["values"]
    for network in networks:
        if network["change_in_error"] is not None:
            gain = intervals.paired_gain(network["values"], teacher)
            network["change_in_error"] = {
                **{"difference": gain.mean, "low": gain.low, "high": gain.high},
                "p_value": intervals.paired_p_value(network["values"], teacher),
            }
    return {"run": run, "networks": networks}


def _mean(same: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [network["error"] for network in same]
    found = intervals.mean_interval(values)
    return {
        **same[0],
        "values": values,
        "error": found.mean,
        "standard_deviation": found.standard_deviation,
        "error_interval": [max(0.0, found.low), min(1.0, found.high)],
        "milliseconds": min(network["milliseconds"] for network in same),
    }


def _notes(result: Mapping[str, Any]) -> str:
    seeds = "standard_deviation" in result["networks"][0]
    return f"Errors are on the test images; {_BY_SEED if seeds else _BY_IMAGE}{_NOTES}"


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
    return f"{markdown_table(_HEADINGS, _rows(result), 1)}\n\n{_notes(result)}\n"


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
        "Bars are the 95 % intervals of the table. A student to the left of another one and not "
        "above it is smaller and no worse.",
        wide=True,
    )
    table = document.table("A teacher and its students", _HEADINGS, _rows(result))
    settings = [[name, str(value)] for name, value in run.items()]
    sections = [
        document.Section("Students", [table, picture, document.Paragraph(_notes(result))]),
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
    sizes = [network["parameters"] for network in result["networks"]]
    # A factor of four holds a tick in any case.
    limits = min(sizes) / 2, max(sizes) * 2
    axes.set(xscale="log", xlabel="parameters", xlim=limits, ylim=(0, None))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    # Without powers of ten, which need fonts for mathematics.
    axes.xaxis.set_major_formatter(lambda value, _: _rounded(value))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(f"{metric.label}, 95 % interval")
    plots.legend(axes, beside=True)
    return drawn


def _rounded(count: float) -> str:
    """Returns a count of one digit, such as 300k or 1M."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if round(count) >= unit:
            return f"{count / unit:.0f}{name}"
    return f"{count:.0f}"


def _rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    metric = METRICS["error"]
    found: list[tuple[str, ...]] = []
    for network in result["networks"]:
        spread = network.get("standard_deviation")
        low, high = (metric.shown(end) for end in network["error_interval"])
        change = network["change_in_error"]
        ends = [change[end] for end in ("difference", "low", "high")] if change else []
        found.append(
            (
                network["name"],
                metric.shown(network["error"])
                + ("" if spread is None else f" ± {metric.shown(spread)}"),
                f"{low} to {high}",
                metric.change(*ends) if ends else "",
                f"{network['parameters']:,}",
                f"{network['bytes'] / 1000:,.0f}",
                f"{network['milliseconds']:.2f}",
            )
        )
    return found
