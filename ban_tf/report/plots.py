"""Figures of a run, readable small, in print, and without telling colours apart.

Each function draws one matplotlib figure from a summary or plain arrays; `png` and `svg` turn it
into bytes. Series differ by marker and line style as well as by colour, the colours are those of
Okabe and Ito, and nothing here needs a display.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ban_tf.report import statistics

# Okabe and Ito, 2008, "Color Universal Design": told apart with any common colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", "-.", ":")
_MOST_NAMED_CLASSES = 20  # beyond these, names on an axis cannot be read
_MOST_COUNTED_CLASSES = 12
_DARK = 0.715  # of these blues; black below and white above have a contrast of 4.5 to 1


def error_by_generation(summary: Mapping[str, Any]) -> Figure:
    """Test error of every generation and ensemble, with Wilson's 95 % intervals.

    Args:
        summary: A summary as `summary.summarise` builds it.
    """
    figure, axes = _figure(6.0, 3.6)
    series = _by_generation(summary)
    for index, (name, points) in enumerate(series.items()):
        # Side by side, or the intervals would hide each other.
        place = np.array([number for number, _ in points]) + 0.1 * (index - (len(series) - 1) / 2)
        error = np.array([100 * row["error"] for _, row in points])
        low, high = 100 * np.array([row["error_interval"] for _, row in points]).T
        axes.errorbar(
            place,
            error,
            yerr=np.abs([error - low, high - error]),
            label=name,
            capsize=3,
            **_series(index),
        )
    axes.set(xlabel="generation", ylabel="test error (%), 95 % interval", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return figure


def perplexity_by_generation(summary: Mapping[str, Any]) -> Figure:
    """Test perplexity of every generation and ensemble of a run on text.

    Args:
        summary: A summary as `language_report.report` builds it.
    """
    figure, axes = _figure(6.0, 3.6)
    for index, (name, points) in enumerate(_by_generation(summary).items()):
        numbers, rows = zip(*points, strict=True)
        perplexities = [row["perplexity"] for row in rows]
        axes.plot(numbers, perplexities, label=name, **_series(index))
    axes.set(xlabel="generation", ylabel="test perplexity")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return figure


def _by_generation(summary: Mapping[str, Any]) -> dict[str, list[tuple[int, Mapping[str, Any]]]]:
    """Series of rows, each with its generation or that of its last member."""
    series = {
        "single generation": [(row["generation"], row) for row in summary["generations"]],
        "ensemble from generation 1 on": [],
        "ensemble from generation 0 on": [],
    }
    for row in summary["ensembles"]:
        name = f"ensemble from generation {row['members'][0]} on"
        series[name].append((row["members"][-1], row))
    return {name: points for name, points in series.items() if points}


def over_seeds(comparison: Mapping[str, Any], name: str, metric: Any) -> Figure:
    """A metric of every generation, each seed and the mean, one series for each group.

    Args:
        comparison: As `comparison.compare` builds it.
        name: Of the metric.
        metric: Its words and scale, as attributes `words` and `scale`.
    """
    groups = comparison["groups"]
    figure, axes = _figure(8.0 if len(groups) > 4 else 6.0, 3.8)
    step = min(0.12, 0.7 / len(groups))
    for index, group in enumerate(groups):
        shift = step * (index - (len(groups) - 1) / 2)
        single = [row for row in group["rows"] if row["name"].startswith("generation")]
        places = np.array([row["members"][0] for row in single]) + shift
        style = _series(index)
        means = [metric.scale * row["metrics"][name]["mean"] for row in single]
        axes.plot(places, means, label=group["name"], **style)
        for place, row in zip(places, single, strict=True):
            dots = metric.scale * np.array(row["metrics"][name]["values"])
            axes.scatter(np.full(len(dots), place), dots, s=9, color=style["color"], alpha=0.6)
    axes.set(xlabel="generation", ylabel=f"{metric.words}, mean over seeds")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes, beside=len(groups) > 4)
    return figure


def changes_over_seeds(
    comparison: Mapping[str, Any], metrics: Mapping[str, Any], key: str = "change"
) -> Figure:
    """Paired changes with their intervals over seeds: a panel for each metric, a line for each row.

    Args:
        comparison: As `comparison.compare` builds it.
        metrics: For each metric's name what has the attributes `words` and `scale`.
        key: "change" for that from generation 0, or "change_from_control".
    """
    lines = [
        (index, group["name"], row)
        for index, group in enumerate(comparison["groups"])
        for row in group["rows"]
        if any(row["metrics"][name][key] for name in metrics)
    ]
    figure = _empty(2.2 + 2.4 * len(metrics), 0.9 + 0.23 * len(lines))
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, (name, metric) in zip(panels, metrics.items(), strict=True):
        _styled(axes).axvline(0, color="#555555", linewidth=1)
        for place, (index, _, row) in enumerate(lines):
            change = row["metrics"][name][key]
            if change:
                _change(axes, place, change, metric.scale, COLOURS[index % len(COLOURS)])
        axes.set_xlabel(f"change in\n{metric.words}")
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


def _change(axes: Axes, place: int, change: Mapping[str, Any], scale: float, colour: str) -> None:
    low, mean, high = (scale * change[name] for name in ("low", "mean", "high"))
    values = scale * np.array(change["values"])
    axes.scatter(values, np.full(len(values), place + 0.3), s=5, color=colour, linewidth=0)
    axes.plot([low, high], [place, place], color=colour, linewidth=1.5)
    face = colour if change["significant"] else "white"
    axes.plot(mean, place, "o", markersize=5.5, color=colour, markerfacecolor=face)


def changes_along(
    series: Mapping[str, Sequence[tuple[float, Mapping[str, Any]]]],
    metrics: Mapping[str, Any],
    along: str,
) -> Figure:
    """Changes from the control with their intervals, as something grows: a panel for each metric.

    Args:
        series: For each line pairs of a place, at least one, and the metrics of that row, as
            `comparison.compare` builds them.
        metrics: For each metric's name what has the attributes `words` and `scale`.
        along: In words, what grows.
    """
    figure = _empty(1.4 + 3.4 * len(metrics), 3.4)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, (name, metric) in zip(panels, metrics.items(), strict=True):
        _styled(axes).axhline(0, color="#555555", linewidth=1)
        places = sorted({place for points in series.values() for place, _ in points})
        for index, (label, points) in enumerate(series.items()):
            known = [
                (place, row[name]["change_from_control"])
                for place, row in sorted(points, key=lambda point: point[0])
            ]
            known = [(place, change) for place, change in known if change]
            # Side by side, so that no interval hides another.
            at = [place * 1.03 ** (index - (len(series) - 1) / 2) for place, _ in known]
            low, mean, high = (
                metric.scale * np.array([change[key] for _, change in known])
                for key in ("low", "mean", "high")
            )
            style = _series(index)
            axes.plot(at, mean, label=label, **style)
            axes.vlines(at, low, high, color=style["color"], linewidth=1.2)
        axes.set_xscale("log")
        axes.set_xticks(places, [f"{place:,}" for place in places])
        axes.minorticks_off()
        axes.set(xlabel=along, ylabel=f"change from the control in\n{metric.words}")
    _legend(panels[-1], beside=True)
    return figure


def values_along(
    series: Mapping[str, Sequence[tuple[float, Sequence[float]]]], metric: Any, along: str
) -> Figure:
    """A metric as something grows: each seed and the mean, one line for each name.

    Args:
        series: For each line pairs of a place and the values of all seeds there.
        metric: Its words and scale, as attributes `words` and `scale`.
        along: In words, what grows.
    """
    figure, axes = _figure(8.0, 4.2)
    for index, (label, points) in enumerate(series.items()):
        style = _series(index)
        places = [place for place, _ in points]
        axes.plot(
            places, [metric.scale * np.mean(each) for _, each in points], label=label, **style
        )
        for place, values in points:
            axes.scatter(
                np.full(len(values), place),
                metric.scale * np.array(values),
                s=9,
                color=style["color"],
                alpha=0.6,
            )
    axes.set(xlabel=along, ylabel=f"{metric.words}, mean over seeds")
    _legend(axes, beside=True)
    return figure


def learning_curves(
    histories: Mapping[int, Sequence[Mapping[str, float]]], quantities: Mapping[str, str]
) -> Figure:
    """One panel for each quantity, one curve for each generation.

    Args:
        histories: For each generation its rows; dictionaries with "epoch" and Keras's logs.
        quantities: What to show: the name in the rows, and the words for the axis.
    """
    figure = _empty(3.6 * max(len(quantities), 1), 3.2)
    for place, (name, words) in enumerate(quantities.items(), start=1):
        axes = _styled(figure.add_subplot(1, len(quantities), place))
        _curves(axes, histories, name, words)
        if place == 1:
            _legend(axes)
    return figure


def curves_and_distribution(
    histories: Mapping[int, Sequence[Mapping[str, Any]]],
    quantities: Mapping[str, str],
    counted: tuple[str, str],
    labels: Mapping[int, str],
) -> Figure:
    """Panels of `learning_curves`, and one of a distribution as it was in the last epoch.

    Args:
        histories: As for `learning_curves`.
        quantities: As for `learning_curves`.
        counted: The name in the rows of counts in equal bins from 0 to 1, and words for the axis.
        labels: What the legend of the last panel says of each generation.
    """
    panels = len(quantities) + 1
    rows_of_two = math.ceil(panels / 2)
    figure = _empty(7.2, 3.2 * rows_of_two)
    for place, (name, words) in enumerate(quantities.items(), start=1):
        _curves(_styled(figure.add_subplot(rows_of_two, 2, place)), histories, name, words)
    _legend(figure.axes[0])
    axes = _styled(figure.add_subplot(rows_of_two, 2, panels))
    for index, (generation, rows) in enumerate(sorted(histories.items())):
        counts = np.array(rows[-1][counted[0]])
        style = {key: _series(index)[key] for key in ("color", "linestyle", "linewidth")}
        edges = np.linspace(0, 1, len(counts) + 1)
        axes.stairs(counts / max(counts.sum(), 1), edges, label=labels[generation], **style)
    axes.set(xlabel=counted[1], ylabel="share of samples", ylim=(0, None))
    _legend(axes)
    return figure


def _curves(
    axes: Axes, histories: Mapping[int, Sequence[Mapping[str, float]]], name: str, words: str
) -> None:
    for index, (generation, rows) in enumerate(sorted(histories.items())):
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        if points:
            style = _series(index) | {"marker": None}
            axes.plot(*zip(*points, strict=True), label=f"generation {generation}", **style)
    axes.set(xlabel="epoch", ylabel=words)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))


def reliability_diagrams(diagrams: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Accuracy against confidence, with Wilson's 95 % intervals.

    On the diagonal, confidence is what it says.

    Args:
        diagrams: For each title, bins as `statistics.reliability` gives them.
    """
    rows = math.ceil(len(diagrams) / 4)
    columns = math.ceil(len(diagrams) / rows)
    figure = _empty(2.3 * columns, 2.6 * rows)
    figure.get_layout_engine().set(hspace=0.08)
    for place, (title, bins) in enumerate(diagrams.items(), start=1):
        axes = _styled(figure.add_subplot(rows, columns, place))
        _reliability_diagram(axes, title, bins)
        if place % columns == 1 or columns == 1:
            axes.set_ylabel("accuracy")
        if place > columns * (rows - 1):
            axes.set_xlabel("confidence")
    return figure


def confusion_matrix(counts: np.ndarray, class_names: Sequence[str], title: str = "") -> Figure:
    """Shares of each true class by predicted class; few classes show their counts too.

    Args:
        counts: Integers [classes, classes]; true classes are rows.
        class_names: In the order of the classes.
        title: Above the matrix.
    """
    classes = len(counts)
    figure, axes = _figure(4.6, 4.3)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("share of the true class")
    axes.grid(visible=False)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if classes <= _MOST_NAMED_CLASSES:
        long = max(map(len, class_names)) > 2
        axes.set_xticks(range(classes), class_names, rotation=90 if long else 0)
        axes.set_yticks(range(classes), class_names)
    if classes <= _MOST_COUNTED_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > _DARK else "black"
                axes.text(
                    column, row, str(count), ha="center", va="center", color=colour, fontsize=7
                )
    return figure


def png(figure: Figure, dots_per_inch: int = 110) -> bytes:
    """Returns a figure as the bytes of a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return content.getvalue()


def svg(figure: Figure) -> bytes:
    """Returns a figure as the bytes of an SVG file, the same for the same figure."""
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "ban_tf"}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def _reliability_diagram(axes: Axes, title: str, bins: Mapping[str, np.ndarray]) -> None:
    filled = np.flatnonzero(bins["count"])
    count, confidence, accuracy = (
        bins[name][filled] for name in ("count", "confidence", "accuracy")
    )
    correct = np.round(accuracy * count).astype(int)
    low, high = np.array(
        [
            statistics.wilson_interval(int(right), int(of))
            for right, of in zip(correct, count, strict=True)
        ]
    ).T
    axes.plot([0, 1], [0, 1], color="#767676", linestyle="--", linewidth=1)
    axes.errorbar(
        confidence,
        accuracy,
        yerr=np.maximum([accuracy - low, high - accuracy], 0),
        color=COLOURS[0],
        linestyle="",
        linewidth=1.2,
        clip_on=False,
    )
    # The larger the dot, the more examples stand behind it.
    area = 12 + 120 * count / count.sum()
    axes.scatter(confidence, accuracy, s=area, color=COLOURS[1], edgecolor="black", zorder=3)
    axes.collections[-1].set(clip_on=False, linewidth=0.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_title(title, fontsize=10)


def _series(index: int) -> dict[str, Any]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": _LINES[index % len(_LINES)],
        "markersize": 5,
        "linewidth": 1.5,
    }


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = _empty(width, height)
    return figure, _styled(figure.add_subplot())


def _empty(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _styled(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd")
    axes.set_axisbelow(True)
    return axes


def _legend(axes: Axes, beside: bool = False) -> None:
    if axes.get_legend_handles_labels()[0]:
        place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if beside else {}
        axes.legend(frameon=False, fontsize=9, **place)
