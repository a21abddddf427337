"""Figures of several runs, with single seeds or intervals over seeds; see `plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ban_tf.report import plots


def over_seeds(comparison: Mapping[str, Any], name: str, metric: Any) -> Figure:
    """Plots a metric of every generation, each seed and the mean, one series per group.

    Args:
        comparison: The result of `comparison.compare`.
        name: The name of the metric.
        metric: Has the attributes `label` and `scale`.
    """
    groups = comparison["groups"]
    figure, axes = plots.one_panel(8.0 if len(groups) > 4 else 6.0, 3.8)
    step = min(0.12, 0.7 / len(groups))
    for index, group in enumerate(groups):
        shift = step * (index - (len(groups) - 1) / 2)
        single = [row for row in group["rows"] if row["name"].startswith("generation")]
        places = np.array([row["members"][0] for row in single]) + shift
        style = plots.series_style(index)
        means = [metric.scale * row["metrics"][name]["mean"] for row in single]
        axes.plot(places, means, label=group["name"], **style)
        for place, row in zip(places, single, strict=True):
            _seeds(axes, place, metric.scale * np.array(row["metrics"][name]["values"]), style)
    axes.set(xlabel="generation", ylabel=f"{metric.label}, mean over seeds")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plots.legend(axes, beside=len(groups) > 4)
    return figure


def changes_over_seeds(
    comparison: Mapping[str, Any], metrics: Mapping[str, Any], key: str = "change"
) -> Figure:
    """Plots paired changes with intervals over seeds: a panel per metric, a line per row.

    Args:
        comparison: The result of `comparison.compare`.
        metrics: Objects with the attributes `label` and `scale`, by the names of metrics.
        key: "change" (from generation 0) or "change_from_control".
    """
    lines = [
        (index, group["name"], row)
        for index, group in enumerate(comparison["groups"])
        for row in group["rows"]
        if any(row["metrics"][name][key] for name in metrics)
    ]
    figure = plots.empty_figure(2.2 + 2.4 * len(metrics), 0.9 + 0.23 * len(lines))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, (name, metric) in zip(panels, metrics.items(), strict=True):
        plots.styled(axes).axvline(0, color="#555555", linewidth=1)
        for place, (index, _, row) in enumerate(lines):
            change = row["metrics"][name][key]
            if change:
                _change(axes, place, change, metric.scale, plots.COLORS[index % len(plots.COLORS)])
        axes.set_xlabel(f"change in\n{metric.label}")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    groups = [name for _, name, _ in lines]
    for place in range(1, len(lines)):
        if groups[place] != groups[place - 1]:
            for axes in panels:
                axes.axhline(place - 0.5, color="#bbbbbb", linewidth=0.8)
    words = [
        f"{name}: {row['name'].replace('ensemble of generations', 'ensemble')}"
        for _, name, row in lines
    ]
    panels[0].set_yticks(range(len(lines)), words, fontsize=8)
    panels[0].set_ylim(len(lines) - 0.4, -0.6)
    return figure


def _change(axes: Axes, place: int, change: Mapping[str, Any], scale: float, color: str) -> None:
    low, mean, high = (scale * change[name] for name in ("low", "mean", "high"))
    values = scale * np.array(change["values"])
    axes.scatter(values, np.full(len(values), place + 0.3), s=5, color=color, linewidth=0)
    axes.plot([low, high], [place, place], color=color, linewidth=1.5)
    face = color if change["significant"] else "white"
    axes.plot(mean, place, "o", markersize=5.5, color=color, markerfacecolor=face)


def changes_along(
    series: Mapping[str, Sequence[tuple[float, Mapping[str, Any]]]],
    metrics: Mapping[str, Any],
    along: str,
    logarithmic: bool = True,
) -> Figure:
    """Plots changes from the control with intervals along a quantity: a panel per metric.

    Args:
        series: For each line pairs of a position, at least one, and the metrics of that row, as
            in the result of `comparison.compare`.
        metrics: Objects with the attributes `label` and `scale`, by the names of metrics.
        along: The label of the quantity.
        logarithmic: Whether its axis is logarithmic.
    """
    figure = plots.empty_figure(1.4 + 3.4 * len(metrics), 3.4)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, (name, metric) in zip(panels, metrics.items(), strict=True):
        plots.styled(axes).axhline(0, color="#555555", linewidth=1)
        places = sorted({place for points in series.values() for place, _ in points})
        for index, (label, points) in enumerate(series.items()):
            known = [
                (place, row[name]["change_from_control"])
                for place, row in sorted(points, key=lambda point: point[0])
            ]
            known = [(place, change) for place, change in known if change]
            # Side by side, so that intervals do not overlap.
            step = index - (len(series) - 1) / 2
            at = [place * 1.03**step if logarithmic else place + 0.08 * step for place, _ in known]
            low, mean, high = (
                metric.scale * np.array([change[key] for _, change in known])
                for key in ("low", "mean", "high")
            )
            style = plots.series_style(index)
            axes.plot(at, mean, label=label, **style)
            axes.vlines(at, low, high, color=style["color"], linewidth=1.2)
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xticks(places, [f"{place:,}" for place in places])
        axes.minorticks_off()
        axes.set(xlabel=along, ylabel=f"change from the control in\n{metric.label}")
    plots.legend(panels[-1], beside=True)
    return figure


def values_along(
    series: Mapping[str, Sequence[tuple[float, Sequence[float]]]], metric: Any, along: str
) -> Figure:
    """Plots a metric along a quantity: each seed and the mean, one line per name.

    Args:
        series: For each line pairs of a position and the values of all seeds there.
        metric: Has the attributes `label` and `scale`.
        along: The label of the quantity.
    """
    figure, axes = plots.one_panel(8.0, 4.2)
    for index, (label, points) in enumerate(series.items()):
        style = plots.series_style(index)
        places = [place for place, _ in points]
        axes.plot(
            places, [metric.scale * np.mean(values) for _, values in points], label=label, **style
        )
        for place, values in points:
            _seeds(axes, place, metric.scale * np.array(values), style)
    axes.set(xlabel=along, ylabel=f"{metric.label}, mean over seeds")
    plots.legend(axes, beside=True)
    return figure


def _seeds(axes: Axes, place: float, values: np.ndarray, style: Mapping[str, Any]) -> None:
    axes.scatter(np.full(len(values), place), values, s=9, color=style["color"], alpha=0.6)
