"""The sections of `report.html` for runs on text: perplexity, calibration, single words."""

from __future__ import annotations

import numpy as np

from ban_tf.metrics import calibration
from ban_tf.report import document, plots
from ban_tf.report.content import Content, WordContent
from ban_tf.system import shown

_MOST_DIAGRAMS = 12

CURVES = {
    "val_perplexity": "validation perplexity",
    "perplexity": "training perplexity",
    "loss": "training loss",
    "teacher_agreement": "agreement with teacher",
}


def further(content: Content) -> list[document.Section]:
    """Returns the sections on the predictions for single words, if they are kept."""
    if not isinstance(content, WordContent):
        return []
    return [
        document.Section("Calibration", [_calibration(content)]),
        document.Section("Words", _words(content)),
    ]


def _calibration(content: WordContent) -> document.Figure:
    chosen = list(enumerate(content.scores))[-_MOST_DIAGRAMS:]
    diagrams = {
        f"generation {number}": calibration.reliability(
            scores["confidence"].clip(0.0, 1.0), scores["wrong"] < 0.5
        )
        for number, scores in chosen
    }
    return document.Figure(
        plots.svg(plots.reliability_diagrams(diagrams)),
        "svg+xml",
        f"Reliability diagrams: accuracy against confidence in 15 bins, for {', '.join(diagrams)}.",
        "The likeliest next word against the one that followed: dots below the diagonal are "
        "over-confident. The larger a dot, the more words; lines are Wilson's 95 % intervals.",
        wide=True,
    )


def _words(content: WordContent) -> list[document.Block]:
    """Returns the table of the words whose predictions changed most."""
    last = len(content.scores) - 1
    after, before = (content.scores[number]["log_probability"] for number in (last, 0))
    order = sorted(content.texts, key=lambda index: after[index] - (before[index] if last else 0.0))
    rows = [
        (
            shown.escaped(content.texts[index]),
            *((f"{np.exp(before[index]):.3g}",) if last else ()),
            f"{np.exp(after[index]):.3g}",
        )
        for index in order
    ]
    if not rows:
        return []
    models = [f"generation {number}" for number in ((0, last) if last else (0,))]
    text = (
        f"Words of the test text, in brackets, whose probability changed most from generation 0 to "
        f"generation {last}: first those that became less likely."
        if last
        else "The words of the test text, in brackets, that generation 0 found least likely."
    )
    caption = "Probability of the word in brackets"
    return [document.Paragraph(text), document.table(caption, ("words", *models), rows)]
