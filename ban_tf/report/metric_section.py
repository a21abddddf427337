"""The section of `report.html` on the compared metric by generation, for results of any kind."""

from __future__ import annotations

from ban_tf.metrics import kinds
from ban_tf.metrics.table import METRICS
from ban_tf.report import document, plots
from ban_tf.report.content import Content


def by_generation(content: Content) -> document.Section:
    """Returns the section: a figure with the metric of every generation and ensemble."""
    kind = kinds.of(content.summary)
    has_interval = kind is not kinds.TEXT
    metric = kind.metric if has_interval else METRICS["perplexity"]
    unit = " %" if metric.scale == 100.0 else ""
    what = metric.label.removeprefix("test ").removesuffix(" (%)")
    values = "; ".join(
        f"generation {row['generation']} {metric.shown(row[metric.name])}{unit}"
        for row in content.summary["generations"]
    )
    caption = "An ensemble is plotted at its last member. "
    if has_interval:
        caption += (
            f"Bars are {kind.interval} 95 % intervals; points are shifted to keep them apart."
        )
    else:
        caption += "With one seed there is no interval."
    _, figure = plots.by_generation(content.summary)
    picture = document.Figure(
        plots.svg(figure),
        "svg+xml",
        f"Test {what} by generation{' with 95 percent intervals' if has_interval else ''}: "
        f"{values}. The table above has the ensembles.",
        caption,
        wide=True,
    )
    return document.Section(f"{what[0].upper()}{what[1:]} by generation", [picture])
