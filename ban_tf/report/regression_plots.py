"""Figures of predicted numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ban_tf.report import plots

_MOST = 2000  # examples of a figure; of more, evenly spaced ones by their targets
_BINS = 30


def against_truth(predictions: np.ndarray, targets: np.ndarray, title: str) -> Figure:
    """Plots predictions and residuals against the true numbers.

    Args:
        predictions: `[examples]`.
        targets: The true numbers, `[examples]`.
        title: The title.
    """
    shown = _some(targets)
    predictions, targets = predictions[shown], targets[shown]
    figure = plots.empty_figure(7.2, 3.4)
    style: dict[str, Any] = {"s": 14, "alpha": 0.6, "color": plots.COLORS[0], "linewidths": 0}
    ends = [min(targets.min(), predictions.min()), max(targets.max(), predictions.max())]
    left = plots.styled(figure.add_subplot(1, 2, 1))
    left.scatter(targets, predictions, **style)
    left.plot(ends, ends, color="#767676", linestyle="--", linewidth=1)
    left.set(xlabel="true", ylabel="predicted", title=title)
    right = plots.styled(figure.add_subplot(1, 2, 2))
    right.scatter(predictions, predictions - targets, **style)
    right.axhline(0.0, color="#767676", linestyle="--", linewidth=1)
    right.set(xlabel="predicted", ylabel="residual (predicted - true)")
    return figure


def residuals(named: Mapping[str, np.ndarray], targets: np.ndarray) -> Figure:
    """Plots the distribution of the residuals of several models.

    Args:
        named: Predictions `[examples]` by the name of a generation or ensemble.
        targets: The true numbers, `[examples]`.
    """
    figure, axes = plots.one_panel(6.0, 3.2)
    found = {name: predictions - targets for name, predictions in named.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(found.values())), _BINS)
    for index, (name, errors) in enumerate(found.items()):
        style = plots.series_style(index)
        kept = {key: style[key] for key in ("color", "linestyle", "linewidth")}
        axes.stairs(np.histogram(errors, edges)[0], edges, label=name, **kept)
    axes.axvline(0.0, color="#767676", linestyle="--", linewidth=1)
    axes.set(xlabel="residual (predicted - true)", ylabel="test examples")
    plots.legend(axes)
    return figure


def _some(targets: np.ndarray) -> np.ndarray:
    order = np.argsort(targets, kind="stable")
    return order[:: -(-len(order) // _MOST)]
