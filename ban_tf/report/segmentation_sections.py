"""The sections of `report.html` for runs on masks: mean IoU, classes, confusion, overlays."""

from __future__ import annotations

import math

import numpy as np

from ban_tf.metrics import segmentation
from ban_tf.report import class_sections, document, plots
from ban_tf.report.content import Content, SegmentationContent
from ban_tf.system import shown

CURVES = {
    "val_mean_iou": "validation mean IoU",
    "val_accuracy": "validation pixel accuracy",
    "val_label_loss": "validation loss (labels)",
    "loss": "training loss",
    "teacher_agreement": "agreement with teacher",
}
_MOST = 30  # classes of a table


def further(content: Content) -> list[document.Section]:
    """Returns the sections that only runs on masks have."""
    if not isinstance(content, SegmentationContent):
        return []
    return [
        document.Section("Classes", [_classes(content)]),
        document.Section("Confusion", _confusion(content)),
        document.Section("Test images", _overlays(content)),
    ]


def _classes(content: SegmentationContent) -> document.Table:
    kept, names = content.segments, content.class_names
    ratios = [segmentation.iou_by_class(counts) for counts in kept.counts]
    pixels = kept.counts[0].true.sum(axis=0)
    share = pixels / pixels.sum()
    order = np.arange(len(names))
    caption = "IoU of each class (%)"
    if len(names) > _MOST:
        order = np.argsort(np.nan_to_num(ratios[-1], nan=2.0), kind="stable")[:_MOST]
        caption += f": the {_MOST} of the lowest by {kept.models[-1]}, of {len(names)}"
    rows = [
        (names[label], *(_percent(row[label]) for row in ratios), f"{100 * share[label]:.2f}")
        for label in order.tolist()
    ]
    return document.table(caption, ("class", *kept.models, "of the test pixels (%)"), rows)


def _percent(ratio: float) -> str:
    return "" if math.isnan(ratio) else f"{100 * ratio:.2f}"


def _confusion(content: SegmentationContent) -> list[document.Block]:
    blocks: list[document.Block] = []
    models = content.segments.models
    for name in dict.fromkeys((models[0], models[-1])):
        counts = content.segments.confusion[models.index(name)]
        matrix, what = class_sections.matrix(counts, content.class_names, name)
        worst = class_sections.most_confused(counts, content.class_names)
        most = "; ".join(f"{true} taken for {other}, {n} pixels" for true, other, n, _ in worst[:3])
        words = f"Confusion matrix of the pixels, by {name}{what}. Most often: {most or 'nothing'}."
        see = "Rows are true classes, columns predicted ones; all off the diagonal are mistakes."
        blocks.append(document.Figure(plots.svg(matrix), "svg+xml", words, see))
    return blocks


def _overlays(content: SegmentationContent) -> list[document.Block]:
    kept = content.segments
    if not kept.pictures:
        return []
    ratios = [segmentation.by_image(counts) for counts in kept.counts]
    blocks: list[document.Block] = [
        document.Paragraph(
            f"Images of the lowest mean IoU by {kept.models[-1]}, and those whose mean IoU changed "
            f"most from {kept.models[0]}. Pixels without a class are white in the true mask. "
            "predictions.csv has every image."
        )
    ]
    for index, picture in sorted(kept.pictures.items()):
        name = shown.escaped(kept.files[index]) if kept.files else f"test image {index}"
        measured = ", ".join(
            f"{model} {_percent(row[index]) or 'none'}"
            for model, row in zip(kept.models, ratios, strict=True)
        )
        words = f"{name}: mean IoU (%) by {measured}."
        alternative = f"Overlays of {words}"
        blocks.append(document.Figure(picture, "png", alternative, words, wide=True))
    return blocks
