"""Applies trained multi-label classifiers to new images: evaluation, prediction and export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from scipy import special

from ban_tf.errors import InputError
from ban_tf.metrics import labels as label_metrics
from ban_tf.metrics import summary
from ban_tf.runs import inference, label_files, reading
from ban_tf.tasks import finished_runs, image_inference, image_reading
from ban_tf.tasks.task import Predictions

SEPARATOR = "|"  # of labels in a table, as in the tables that are read


def evaluate(
    run: reading.RunReader,
    dataset: str,
    data_dir: str | None = None,
    skip_bad_files: bool = False,
) -> dict[str, Any]:
    """Evaluates the generations of a finished run on the test split of a dataset.

    Labels are predicted by the thresholds of the run, which were chosen on its validation data.

    Args:
        run: The run.
        dataset: As `--dataset` of `ban_tf.main`.
        data_dir: The directory of TFDS data.
        skip_bad_files: As for `image_inference.evaluate`.

    Returns:
        A summary; see `metrics.summary`.

    Raises:
        InputError: The data cannot be loaded, does not fit the models, or the run is not finished.
    """
    facts = reading.read_data_facts(run)
    data, trained = image_inference.load(run, facts, dataset, data_dir, skip_bad_files)
    if not data.multi_label:
        raise InputError(f"--dataset={dataset} has one class for each image, and no labels.")
    labels = np.empty_like(data.test.labels)
    labels[:, trained] = data.test.labels
    models = image_inference.generations(run, facts)
    odds = [inference.log_odds(model, data.test.images, facts) for model in models]
    average = finished_runs.average(run)
    groups = summary.groups(len(odds))
    known = label_files.thresholds(run, len(facts.class_names))
    thresholds = [known[tuple(members)] for members in groups if tuple(members) in known]
    if len(thresholds) < len(groups):
        raise InputError(f"{run.path} is not finished; finish it first: {reading.resume(run)}")
    found = [
        label_metrics.mean_probabilities([odds[member] for member in members], average)
        for members in groups
    ]
    rows = label_metrics.rows(found, labels, thresholds)
    about, members = finished_runs.about(run, dataset), finished_runs.members(run)
    return summary.assemble(about, members, rows, average, "multi_label")


def probabilities(run: reading.RunReader, images: Any, which: str) -> np.ndarray:
    """Predicts the probability of each label, float64 `[images, labels]`.

    The arguments and errors are those of `image_inference.probabilities`.
    """
    facts = reading.read_data_facts(run)
    model = image_inference.load_model(run, which, facts)
    return _probabilities(model, image_reading.as_images(images, facts), facts)


def _probabilities(model: keras.Model, images: np.ndarray, facts: reading.DataFacts) -> np.ndarray:
    return special.expit(inference.log_odds(model, images, facts))


def predict(
    run: reading.RunReader, names: Sequence[str], which: str, top: int | None = None
) -> Predictions:
    """Predicts the labels of image files; those that cannot be read are left out.

    Args:
        run: The run.
        names: Paths of images or of folders, and patterns; see `image_paths.expand`.
        which: "ensemble", or the number of a generation.
        top: How many of the most likely labels; None for those that reach their thresholds.

    Raises:
        InputError: The model does not exist, or has no thresholds yet.
    """
    facts = reading.read_data_facts(run)
    model = image_inference.load_model(run, which, facts)
    known = facts.class_names
    thresholds = label_files.thresholds_of(run, which, len(known))
    rows: list[list[Any]] = []
    lines: list[str] = []
    bad: list[str] = []

    def outputs_of(images: np.ndarray) -> np.ndarray:
        return _probabilities(model, images, facts)

    for file, row in image_reading.predicted_files(names, facts, outputs_of, bad):
        order = np.argsort(-row, kind="stable")
        chosen = order[row[order] >= thresholds[order]] if top is None else order[:top]
        shown = [f"{known[label]}\t{row[label]:.4f}" for label in chosen] or ["no label"]
        lines.append("\t".join([file, *shown]))
        labels = SEPARATOR.join(known[label] for label in chosen)
        rows.append([file, labels, *(f"{p:.8g}" for p in row)])
    return Predictions(["image", "labels", *known], rows, lines, bad)


def final_row(run: reading.RunReader, student: reading.RunReader) -> dict[str, Any]:
    """Returns the metrics of a final student against generation 0 of a run; see `Task`."""
    labels = reading.read_test(run, several=True).labels
    models = ((run, 0), (student, 1))
    odds = [
        label_files.log_odds(one, f"generation-{number}/predictions.npz") for one, number in models
    ]
    thresholds = [
        label_files.thresholds_of(one, str(number), labels.shape[1]) for one, number in models
    ]
    return label_metrics.rows([special.expit(values) for values in odds], labels, thresholds)[1]


def served(
    run: reading.RunReader, which: str, preprocessing: bool, to: str
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a model for export, and its description with the thresholds of its labels."""
    model, manifest = image_inference.served(run, which, preprocessing, to, "sigmoid")
    thresholds = label_files.thresholds_of(run, which, len(manifest["class_names"]))
    return model, {**manifest, "thresholds": thresholds.tolist()}
