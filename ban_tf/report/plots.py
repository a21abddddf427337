"""Figures of a run, legible when small, in print and for color-blind readers.

Each function draws one matplotlib figure from a summary or plain arrays; `png` and `svg` convert it
to bytes. Series differ by marker and line style as well as by color, the colors are those of Okabe
and Ito, and nothing here needs a display.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from ban_tf.metrics import intervals, kinds
from ban_tf.metrics.table import METRICS

# Okabe and Ito, 2008, "Color Universal Design": distinct with all common color blindness.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", "-.", ":")
_MOST_NAMED_CLASSES = 20  # with more, names on an axis are not legible
_MOST_COUNTED_CLASSES = 12
_DARK = 0.715  # of the color map; black text below and white text above have a contrast of 4.5 to 1


def by_generation(summary: Mapping[str, Any]) -> tuple[str, Figure]:
    """Plots what a summary measures first, and returns the name of the figure with it."""
    kind = kinds.of(summary)
    if kind is kinds.TEXT:
        return "perplexity_by_generation", perplexity_by_generation(summary)
    return f"{kind.compared}_by_generation", metric_by_generation(summary)


def metric_by_generation(summary: Mapping[str, Any]) -> Figure:
    """Plots the compared metric of every generation and ensemble, with 95 % intervals.

    Args:
        summary: A summary as `summary.summarize` builds it.
    """
    figure, axes = one_panel(6.0, 3.6)
    kind = kinds.of(summary)
    metric = kind.metric
    series = _by_generation(summary)
    for index, (name, points) in enumerate(series.items()):
        # Side by side, so that intervals do not overlap.
        positions = np.array([number for number, _ in points]) + 0.1 * (
            index - (len(series) - 1) / 2
        )
        values = metric.scale * np.array([row[metric.name] for _, row in points])
        low, high = metric.scale * np.array([kind.interval_of(row) for _, row in points]).T
        axes.errorbar(
            positions,
            values,
            yerr=np.abs([values - low, high - values]),
            label=name,
            capsize=3,
            **series_style(index),
        )
    axes.set(xlabel="generation", ylabel=f"{metric.label}, 95 % interval")
    if metric.better == "lower" and metric.name != "perplexity":
        axes.set_ylim(0, None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes)
    return figure


def perplexity_by_generation(summary: Mapping[str, Any]) -> Figure:
    """Plots the test perplexity of every generation and ensemble of a run on text.

    Args:
        summary: A summary whose rows have perplexities.
    """
    figure, axes = one_panel(6.0, 3.6)
    metric = METRICS["perplexity"]
    for index, (name, points) in enumerate(_by_generation(summary).items()):
        numbers, rows = zip(*points, strict=True)
        perplexities = [row[metric.name] for row in rows]
        axes.plot(numbers, perplexities, label=name, **series_style(index))
    axes.set(xlabel="generation", ylabel=metric.label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes)
    return figure


def _by_generation(summary: Mapping[str, Any]) -> dict[str, list[tuple[int, Mapping[str, Any]]]]:
    """Returns series of rows, each with its generation or that of its last member."""
    series = {
        "single generation": [(row["generation"], row) for row in summary["generations"]],
        "ensemble from generation 1 on": [],
        "ensemble from generation 0 on": [],
    }
    for row in summary["ensembles"]:
        name = f"ensemble from generation {row['members'][0]} on"
        series[name].append((row["members"][-1], row))
    return {name: points for name, points in series.items() if points}


def learning_curves(
    histories: Mapping[int, Sequence[Mapping[str, float]]], quantities: Mapping[str, str]
) -> Figure:
    """Plots one panel per quantity, with one curve per generation.

    Args:
        histories: The rows of each generation; dictionaries with "epoch" and Keras's logs.
        quantities: The quantities: the name in the rows, and the label of the axis.
    """
    figure = empty_figure(3.6 * max(len(quantities), 1), 3.2)
    for place, (name, words) in enumerate(quantities.items(), start=1):
        axes = styled(figure.add_subplot(1, len(quantities), place))
        _curves(axes, histories, name, words)
        if place == 1:
            legend(axes)
    return figure


def curves_and_distribution(
    histories: Mapping[int, Sequence[Mapping[str, Any]]],
    quantities: Mapping[str, str],
    counted: tuple[str, str],
    labels: Mapping[int, str],
) -> Figure:
    """Plots the panels of `learning_curves`, and a distribution in the last epoch.

    Args:
        histories: As for `learning_curves`.
        quantities: As for `learning_curves`.
        counted: The name in the rows of counts in equal bins from 0 to 1, and an axis label.
        labels: The legend of the last panel for each generation.
    """
    panels = len(quantities) + 1
    rows_of_two = math.ceil(panels / 2)
    figure = empty_figure(7.2, 3.2 * rows_of_two)
    for place, (name, words) in enumerate(quantities.items(), start=1):
        _curves(styled(figure.add_subplot(rows_of_two, 2, place)), histories, name, words)
    legend(figure.axes[0])
    axes = styled(figure.add_subplot(rows_of_two, 2, panels))
    for index, (generation, rows) in enumerate(sorted(histories.items())):
        counts = np.array(rows[-1][counted[0]])
        style = {key: series_style(index)[key] for key in ("color", "linestyle", "linewidth")}
        edges = np.linspace(0, 1, len(counts) + 1)
        axes.stairs(counts / max(counts.sum(), 1), edges, label=labels[generation], **style)
    axes.set(xlabel=counted[1], ylabel="share of samples", ylim=(0, None))
    legend(axes)
    return figure


def _curves(
    axes: Axes, histories: Mapping[int, Sequence[Mapping[str, float]]], name: str, words: str
) -> None:
    for index, (generation, rows) in enumerate(sorted(histories.items())):
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        if points:
            # A curve of one epoch is a point.
            style = series_style(index) | ({"marker": None} if len(points) > 1 else {})
            axes.plot(*zip(*points, strict=True), label=f"generation {generation}", **style)
    axes.set(xlabel="epoch", ylabel=words)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))


def reliability_diagrams(diagrams: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Plots accuracy against confidence, with Wilson's 95 % intervals.

    On the diagonal, confidence is calibrated.

    Args:
        diagrams: The results of `calibration.reliability` by title.
    """
    rows = math.ceil(len(diagrams) / 4)
    columns = math.ceil(len(diagrams) / rows)
    figure = empty_figure(2.3 * columns, 2.6 * rows)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(hspace=0.08)
    for place, (title, bins) in enumerate(diagrams.items(), start=1):
        axes = styled(figure.add_subplot(rows, columns, place))
        _reliability_diagram(axes, title, bins)
        if place % columns == 1 or columns == 1:
            axes.set_ylabel("accuracy")
        if place > columns * (rows - 1):
            axes.set_xlabel("confidence")
    return figure


def confusion_matrix(
    counts: np.ndarray,
    class_names: Sequence[str],
    title: str = "",
    totals: np.ndarray | None = None,
) -> Figure:
    """Plots the fractions of each true class by predicted class; with few classes also counts.

    Args:
        counts: Integers [classes, classes]; true classes are rows.
        class_names: In the order of the classes.
        title: The title.
        totals: The number of examples of each true class, if these are not all classes.
    """
    classes = len(counts)
    figure, axes = one_panel(4.6, 4.3)
    totals = counts.sum(axis=1) if totals is None else totals
    shares = counts / np.maximum(totals[:, np.newaxis], 1)
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
                color = "white" if shares[row, column] > _DARK else "black"
                axes.text(
                    column, row, str(count), ha="center", va="center", color=color, fontsize=7
                )
    return figure


def png(figure: Figure, dots_per_inch: int = 110) -> bytes:
    """Returns a figure as the bytes of a PNG file."""
    content = io.BytesIO()
    with _missing_characters("ignore"):
        figure.savefig(content, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return content.getvalue()


def svg(figure: Figure) -> bytes:
    """Returns a figure as the bytes of an SVG file, the same for the same figure."""
    try:
        with _missing_characters("error"):
            return _svg(figure, "path")
    except UserWarning:
        # The fonts of browsers have characters that Matplotlib's lacks, such as Chinese ones.
        with _missing_characters("ignore"):
            return _svg(figure, "none")


def _svg(figure: Figure, text_as: str) -> bytes:
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "ban_tf", "svg.fonttype": text_as}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


@contextlib.contextmanager
def _missing_characters(action: Literal["ignore", "error"]) -> Iterator[None]:
    """Ignores or raises the warning that a font lacks a character."""
    with warnings.catch_warnings():
        warnings.filterwarnings(action, "Glyph .* missing from font", UserWarning)
        yield


def _reliability_diagram(axes: Axes, title: str, bins: Mapping[str, np.ndarray]) -> None:
    filled = np.flatnonzero(bins["count"])
    count, confidence, accuracy = (
        bins[name][filled] for name in ("count", "confidence", "accuracy")
    )
    correct = np.round(accuracy * count).astype(int)
    low, high = np.array(
        [
            intervals.wilson_interval(int(right), int(of))
            for right, of in zip(correct, count, strict=True)
        ]
    ).T
    axes.plot([0, 1], [0, 1], color="#767676", linestyle="--", linewidth=1)
    axes.errorbar(
        confidence,
        accuracy,
        yerr=np.maximum([accuracy - low, high - accuracy], 0),
        color=COLORS[0],
        linestyle="",
        linewidth=1.2,
        clip_on=False,
    )
    # The area of a dot is proportional to its examples.
    area = 12 + 120 * count / count.sum()
    axes.scatter(confidence, accuracy, s=area, color=COLORS[1], edgecolor="black", zorder=3)
    axes.collections[-1].set(clip_on=False, linewidth=0.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.set_title(title, fontsize=10)


def series_style(index: int) -> dict[str, Any]:
    """Returns the style of a series; styles differ in more than their color."""
    return {
        "color": COLORS[index % len(COLORS)],
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": _LINES[index % len(_LINES)],
        "markersize": 5,
        "linewidth": 1.5,
    }


def one_panel(width: float, height: float) -> tuple[Figure, Axes]:
    """Returns a figure of a size in inches, and its only axes."""
    figure = empty_figure(width, height)
    return figure, styled(figure.add_subplot())


def empty_figure(width: float, height: float) -> Figure:
    """Returns a figure of a size in inches without axes."""
    return Figure(figsize=(width, height), layout="constrained")


def styled(axes: Axes) -> Axes:
    """Adds a grid to axes and removes the frame; returns the axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd")
    axes.set_axisbelow(True)
    return axes


def legend(axes: Axes, beside: bool = False) -> None:
    """Adds a legend inside the axes or beside them, if any series has a label."""
    if axes.get_legend_handles_labels()[0]:
        position: dict[str, Any] = (
            {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if beside else {}
        )
        axes.legend(frameon=False, fontsize=9, **position)
