"""The sections of `report.html` for runs on text: perplexity."""

from __future__ import annotations

from ban_tf.metrics.table import METRICS
from ban_tf.report import document, plots
from ban_tf.report.content import Content

CURVES = {
    "val_perplexity": "validation perplexity",
    "perplexity": "training perplexity",
    "loss": "training loss",
    "teacher_agreement": "agreement with teacher",
}


def by_generation(content: Content) -> document.Section:
    """Returns the section on perplexity by generation."""
    words = "; ".join(
        f"generation {row['generation']} {METRICS['perplexity'].shown(row['perplexity'])}"
        for row in content.summary["generations"]
    )
    picture = document.Figure(
        plots.svg(plots.perplexity_by_generation(content.summary)),
        "svg+xml",
        f"Test perplexity by generation: {words}. The table above has the ensembles.",
        "The perplexity of the test text; an ensemble is plotted at its last member. With one "
        "seed there is no interval.",
        wide=True,
    )
    return document.Section("Perplexity by generation", [picture])


def further(content: Content) -> list[document.Section]:
    """Returns no further sections: predictions for single words are not stored."""
    return []
