"""The sections of `report.html` for classifiers: errors, calibration, confusion, examples."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ban_tf.metrics import classification, ensembles
from ban_tf.metrics.table import METRICS
from ban_tf.report import class_tables, document, examples, pictures, plots
from ban_tf.report.content import ClassContent, Content, ImageContent, LabelContent
from ban_tf.system import shown

CURVES = {
    "val_accuracy": "validation accuracy",
    "val_balanced_accuracy": "balanced validation accuracy",
    "val_label_loss": "validation loss (labels)",
    "loss": "training loss",
    "teacher_agreement": "agreement with teacher",
}
_CALIBRATION = (
    *("confidence", "accuracy"),
    *("expected_calibration_error", "negative_log_likelihood", "brier_score"),
)
_MOST_CONFUSED = 10
_MOST_CLASSES = 30  # of a confusion matrix; with more, it has only the most confused ones
_CONFUSED_CLASSES = 20
_MOST_DIAGRAMS = 12


def further(content: Content) -> list[document.Section]:
    """Returns the sections of classifiers whose predictions are kept."""
    if not isinstance(content, ClassContent):
        return []
    return [
        document.Section("Calibration", _calibration(content)),
        class_tables.by_class(content.named_predictions(), content.labels, content.class_names),
        document.Section("Confusion", _confusion(content)),
        document.Section("Most confident mistakes", _mistakes(content)),
        document.Section("Newly right and newly wrong", _changes(content)),
        document.Section("Ensemble and diversity", _ensemble(content)),
        document.Section("Near-duplicates", near_duplicates(content)),
    ]


def _calibration(content: ClassContent) -> list[document.Block]:
    named = dict(list(content.named_predictions().items())[-_MOST_DIAGRAMS:])
    labels = content.labels
    measured = {name: classification.evaluate(rows, labels) for name, rows in named.items()}
    rows = [
        (
            name,
            *(METRICS[column].shown(metrics[column]) for column in _CALIBRATION),
        )
        for name, metrics in measured.items()
    ]
    headings = ("generation or ensemble", *(METRICS[column].label for column in _CALIBRATION))
    diagrams = {name: classification.reliability(rows, labels) for name, rows in named.items()}
    picture = document.Figure(
        plots.svg(plots.reliability_diagrams(diagrams)),
        "svg+xml",
        "Reliability diagrams: accuracy against confidence in 15 bins, for "
        + ", ".join(named)
        + ". The table below has their calibration errors.",
        "Dots below the diagonal are over-confident. The larger a dot, the more examples; lines "
        "are Wilson's 95 % intervals.",
        wide=True,
    )
    return [picture, document.table("Calibration", headings, rows)]


def _confusion(content: ClassContent) -> list[document.Block]:
    named = content.named_predictions()
    chosen = {name: named[name] for name in dict.fromkeys(("generation 0", list(named)[-1]))}
    blocks: list[document.Block] = []
    for name, predictions in chosen.items():
        counts = classification.confusion_matrix(predictions, content.labels)
        worst = most_confused(counts, content.class_names)
        most = "; ".join(f"{true} taken for {other}, {n} times" for true, other, n, _ in worst[:3])
        drawn, what = matrix(counts, content.class_names, name)
        words = f"Confusion matrix of {name}{what}. Most often confused: {most or 'nothing'}."
        see = "Rows are true classes, columns predicted ones; all off the diagonal are mistakes."
        blocks.append(document.Figure(plots.svg(drawn), "svg+xml", words, see))
        if worst:
            headings = ("true class", "taken for", "times", "of this class (%)")
            caption = f"Most frequent confusions of {name}"
            blocks.append(document.table(caption, headings, worst, texts=2))
    return blocks


def matrix(counts: np.ndarray, class_names: tuple[str, ...], name: str) -> tuple[Figure, str]:
    """Returns the confusion matrix of all classes, or of those with the most mistakes."""
    if len(counts) <= _MOST_CLASSES:
        return plots.confusion_matrix(counts, class_names, name), ""
    chosen = confused_classes(counts, _CONFUSED_CLASSES)
    what = f", the {len(chosen)} most confused of {len(counts)} classes"
    some = counts[np.ix_(chosen, chosen)]
    names = [class_names[label] for label in chosen]
    totals = counts[chosen].sum(axis=1)
    return plots.confusion_matrix(some, names, f"{name}{what}", totals), what


def confused_classes(counts: np.ndarray, most: int) -> np.ndarray:
    """Returns the sorted classes of the pairs that are most often confused with each other.

    Args:
        counts: A confusion matrix, integers [classes, classes]; true classes are rows.
        most: How many classes.
    """
    mistakes = counts - np.diag(np.diag(counts))
    pairs = np.argsort(-(mistakes + mistakes.T), axis=None, kind="stable")
    classes = np.stack(np.unravel_index(pairs[: 2 * most * most], counts.shape), axis=1).ravel()
    _, first = np.unique(classes, return_index=True)
    return np.sort(classes[np.sort(first)][:most])


def most_confused(
    counts: np.ndarray, class_names: tuple[str, ...]
) -> list[tuple[str, str, str, str]]:
    """Returns the most frequent confusions: true class, what it is taken for, times, and share.

    Args:
        counts: A confusion matrix, integers [classes, classes]; true classes are rows.
        class_names: In the order of the classes.
    """
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSED]
    pairs = [np.unravel_index(place, wrong.shape) for place in order]
    return [
        (
            class_names[true],
            class_names[other],
            str(wrong[true, other]),
            f"{100 * wrong[true, other] / counts[true].sum():.1f}",
        )
        for true, other in pairs
        if wrong[true, other]
    ]


def _changes(content: ClassContent) -> list[document.Block]:
    blocks: list[document.Block] = []
    for number in range(1, len(content.predictions)):
        before, after = content.predictions[number - 1 : number + 1]
        found = examples.changes(before, after, content.labels)
        blocks.append(document.Subheading(f"Generation {number} against generation {number - 1}"))
        for kind, listed in zip(("right", "wrong"), found, strict=True):
            some = [_example(content, change) for change in listed[: examples.SHOWN]]
            more = f", of which {len(some)} are shown" if len(some) < len(listed) else ""
            blocks.append(document.Paragraph(f"{len(listed)} newly {kind}{more}."))
            if some:
                blocks.append(document.Gallery(some))
    return blocks


def _mistakes(content: ClassContent) -> list[document.Block]:
    number, rows = len(content.predictions) - 1, content.predictions[-1]
    found = examples.confident_mistakes(rows, content.labels)
    if not found:
        return []
    see = (
        f"The wrong predictions of which generation {number} is most certain. Look for wrong "
        "labels, and for examples of several classes or of none."
    )
    listed = []
    for index in found:
        true = content.class_names[content.labels[index]]
        predicted = content.class_names[rows[index].argmax()]
        probability = f"probability {np.exp(rows[index].max()):.3f}"
        listed.append(
            pictures.of_example(
                content, index, f"true {true}, predicted {predicted}, {probability}"
            )
        )
    return [document.Paragraph(see), document.Gallery(listed)]


def _example(
    content: ClassContent, change: examples.Change
) -> document.Figure | document.Paragraph:
    true, before, after = (
        content.class_names[label] for label in (change.label, change.before, change.after)
    )
    return pictures.of_example(content, change.index, f"true {true}, was {before}, is {after}")


def _ensemble(content: ClassContent) -> list[document.Block]:
    members, mean = content.ensemble()
    if len(members) < 2:
        return []
    labels = content.labels
    errors = [float(np.mean(rows.argmax(axis=-1) != labels)) for rows in content.predictions]
    single = [errors[member] for member in members]
    together = float(np.mean(mean.argmax(axis=-1) != labels))
    everyone = ensembles.pairwise_disagreement(content.predictions)
    pairs = everyone[np.ix_(members, members)][np.triu_indices(len(members), 1)]
    change = 100 * (together - np.mean(single))
    words = (
        f"The ensemble of generations {members[0]} to {members[-1]} has {100 * together:.2f} % "
        f"test error; its members have {100 * np.mean(single):.2f} % on average and "
        f"{100 * min(single):.2f} % at best. Averaging changes their mean error by {change:+.2f} "
        f"points. Two members disagree on {100 * pairs.mean():.2f} % of the test examples on "
        "average."
    )
    names = [str(number) for number in range(len(everyone))]
    rows = [
        (name, *(f"{100 * cell:.2f}" for cell in row))
        for name, row in zip(names, everyone, strict=True)
    ]
    caption = "Test examples on which two generations disagree (%)"
    return [document.Paragraph(words), document.table(caption, ("generation", *names), rows)]


def near_duplicates(content: ClassContent | LabelContent) -> list[document.Block]:
    """Returns the table of the test images that nearly equal a training image, if there are any."""
    if not isinstance(content, (ImageContent, LabelContent)):
        return []
    count, pairs = content.near_duplicates
    if not pairs:
        return []
    more = f", of which {len(pairs)} are listed" if len(pairs) < count else ""
    words = (
        f"{count} of {len(content.test.labels)} test images nearly equal a training image{more}. "
        "What a model has learnt by heart counts as correct there."
    )
    rows = [[shown.escaped(name) for name in pair] for pair in pairs]
    caption = "Test images that nearly equal a training image"
    headings = ("test image", "training image")
    return [document.Paragraph(words), document.table(caption, headings, rows, texts=2)]
