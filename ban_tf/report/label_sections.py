"""The sections of `report.html` for images with several labels each."""

from __future__ import annotations

import numpy as np
from scipy import special

from ban_tf.metrics import intervals, labels
from ban_tf.report import class_sections, document, examples, pictures
from ban_tf.report.content import Content, LabelContent

CURVES = {
    "val_accuracy": "validation share of right labels",
    "val_label_loss": "validation loss (labels)",
    "loss": "training loss",
    "teacher_agreement": "agreement with teacher",
}
_MOST = 50  # labels of a table; of more, those of the lowest average precision


def further(content: Content) -> list[document.Section]:
    """Returns the sections on single labels and images."""
    if not isinstance(content, LabelContent):
        return []
    return [
        document.Section("Labels", _labels(content)),
        document.Section("Most confident mistakes", _mistakes(content)),
        document.Section("Near-duplicates", class_sections.near_duplicates(content)),
    ]


def _labels(content: LabelContent) -> list[document.Block]:
    first, last = "generation 0", list(content.predictions)[-1]
    before = _by_label(content, first)
    blocks: list[document.Block] = [
        document.Paragraph(
            "The average precision is the mean precision over all thresholds, F1 the harmonic mean "
            "of recall and precision at the threshold, the error the share of images on which the "
            "label is wrong. p is of McNemar's exact test against generation 0, adjusted for the "
            "number of labels by Benjamini and Hochberg's procedure: of the labels called better "
            "or worse, no more than 5 % are expected to be neither."
        )
    ]
    for name in dict.fromkeys((first, last)):
        blocks.append(
            _table(content, name, _by_label(content, name, before if name != first else None))
        )
    return blocks


def _by_label(content: LabelContent, name: str, before: dict | None = None) -> dict:
    reference = None
    if before is not None:
        reference = content.predictions["generation 0"] >= content.thresholds["generation 0"]
    found = labels.by_label(
        content.predictions[name], content.test.labels, content.thresholds[name], reference
    )
    return found if before is None else {**found, "error_before": before["error"]}


def _table(content: LabelContent, name: str, found: dict) -> document.Table:
    order = np.arange(len(content.label_names))
    caption = f"Labels, by {name}"
    if len(order) > _MOST:
        precision = [2.0 if value is None else value for value in found["average_precision"]]
        order = np.argsort(precision, kind="stable")[:_MOST]
        caption += f": the {len(order)} of the lowest average precision, of {len(precision)}"
    headings = ["label", "test images with it", "threshold", "average precision (%)", "F1 (%)"]
    headings.append("error (%)")
    if "adjusted_p" in found:
        headings += ["change of error (points)", "p", "p, adjusted", "against generation 0"]
    rows = []
    for label in order.tolist():
        precision = found["average_precision"][label]
        row = [
            content.label_names[label],
            str(found["support"][label]),
            f"{found['threshold'][label]:.3f}",
            "" if precision is None else f"{100 * precision:.2f}",
            f"{100 * found['f1'][label]:.2f}",
            f"{100 * found['error'][label]:.2f}",
        ]
        if "adjusted_p" in found:
            change = found["error"][label] - found["error_before"][label]
            p, adjusted = found["mcnemar_p"][label], found["adjusted_p"][label]
            row += [f"{100 * change:+.2f}", f"{p:.3g}", f"{adjusted:.3g}"]
            row.append(_verdict(change, adjusted))
        rows.append(row)
    return document.table(caption, headings, rows)


def _verdict(change: float, adjusted: float) -> str:
    if adjusted >= intervals.LEVEL:
        return "no significant difference"
    return "better" if change < 0 else "worse"


def _mistakes(content: LabelContent) -> list[document.Block]:
    name = [model for model in content.predictions if model.startswith("generation")][-1]
    probabilities, true = content.predictions[name], content.test.labels
    odds = special.logit(np.clip(probabilities, 1e-12, 1 - 1e-12))
    found = examples.confident_label_mistakes(odds, true, content.thresholds[name])
    if not found:
        return []
    see = (
        f"The wrong labels of which {name} is most certain. Look for labels that are missing or "
        "wrong in the data."
    )
    listed = []
    for index, label in found:
        chosen = np.flatnonzero(true[index])
        has = ", ".join(content.label_names[other] for other in chosen) or "no label"
        what = "missed" if true[index, label] else "found by mistake"
        words = (
            f"{content.label_names[label]} {what}, probability {probabilities[index, label]:.3f}; "
            f"it has {has}"
        )
        listed.append(pictures.of_example(content, index, words))
    return [document.Paragraph(see), document.Gallery(listed)]
