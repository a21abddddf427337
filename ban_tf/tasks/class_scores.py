"""What tasks have in common that predict one class of each example: the loss, and the scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from ban_tf import objectives
from ban_tf.config.options import Options
from ban_tf.lineage.lineage import Lineage
from ban_tf.metrics import classification, summary
from ban_tf.report import plots
from ban_tf.tasks import chance, lent_models, saturation
from ban_tf.training.balanced_accuracy import BalancedAccuracy

# A value of `--monitor`.
BALANCED = "val_balanced_accuracy"
# Returns the log-probabilities that a model predicts, `[examples, classes]`.
LogProbabilities = Callable[[keras.Model], np.ndarray]


def compile_arguments(options: Options, classes: int, from_logits: bool = True) -> dict[str, Any]:
    """Returns cross-entropy and accuracy; see `Task.compile_arguments`.

    Args:
        options: The options of the run.
        classes: The number of classes.
        from_logits: Whether networks end in logits, and not in probabilities.
    """
    loss = objectives.LabelCrossEntropy(from_logits, label_smoothing=options.label_smoothing)
    metrics: list[Any] = ["accuracy"]
    if options.monitor == BALANCED:
        metrics.append(BalancedAccuracy(classes))
    return {"loss": loss, "weighted_metrics": metrics}


def shown(options: Options, metrics: Sequence[str]) -> tuple[str, ...]:
    """Returns the metrics that progress shows, among them the one that is monitored."""
    return (*metrics, BALANCED) if options.monitor == BALANCED else tuple(metrics)


def lineage_arguments(options: Options, labels: np.ndarray) -> dict[str, Any]:
    """Returns the accuracy that is monitored, and that of chance on the validation labels."""
    of = chance.of_balanced_accuracy if options.monitor == BALANCED else chance.of_accuracy
    return {"chance": of(labels), "monitor": options.monitor}


def improved(lineage: Lineage, predict: LogProbabilities, labels: np.ndarray, monitor: str) -> bool:
    """Returns whether the error of the last generation fell by more than its 95 % interval.

    With `--monitor=val_balanced_accuracy`, that is the mean error of the classes.

    Args:
        lineage: A lineage of two generations at least.
        predict: Predicts for the validation examples.
        labels: Their true classes, integers `[examples]`.
        monitor: The value of `--monitor`.
    """
    last = lineage.generations[-1].number
    now, before = (predict(lent_models.of_generation(lineage, index)) for index in (last, last - 1))
    if monitor == BALANCED:
        return saturation.balanced_error_improved(now, before, labels)
    return saturation.error_improved(now, before, labels)


def validation_scores(
    lineage: Lineage,
    groups: list[list[int]],
    predict: LogProbabilities,
    labels: np.ndarray,
    average: str,
) -> list[float] | None:
    """Returns the validation errors of generations and of their averages; see `Task`.

    Args:
        lineage: A finished lineage.
        groups: As for `Task.validation_scores`.
        predict: Predicts for the validation examples.
        labels: Their true classes, integers `[examples]`.
        average: What ensembles average.
    """
    if not len(labels):
        return None
    predictions = [
        predict(lent_models.of_generation(lineage, generation.number))
        for generation in lineage.generations
    ]
    return summary.errors(predictions, groups, labels, average)


def figures(
    predictions: Sequence[np.ndarray], labels: np.ndarray, class_names: Sequence[str]
) -> Mapping[str, Mapping[int, Figure]]:
    """Returns the reliability diagram and the confusion matrix of each generation.

    Args:
        predictions: Each generation's log-probabilities `[examples, classes]`.
        labels: The true classes, integers `[examples]`.
        class_names: In the order of the classes.
    """
    diagrams, matrices = {}, {}
    for number, rows in enumerate(predictions):
        title = f"generation {number}"
        bins = classification.reliability(rows, labels)
        counts = classification.confusion_matrix(rows, labels)
        diagrams[number] = plots.reliability_diagrams({title: bins})
        matrices[number] = plots.confusion_matrix(counts, class_names, title)
    return {"reliability diagram": diagrams, "confusion matrix": matrices}
