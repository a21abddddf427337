"""Applies models that predict a number to new images: evaluation, prediction and export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.datasets import rotated_digits
from ban_tf.datasets.names import ROTATED
from ban_tf.errors import InputError
from ban_tf.metrics import regression, summary
from ban_tf.runs import inference, number_models, reading
from ban_tf.system import csv_tables, shown
from ban_tf.tasks import finished_runs, image_inference, image_reading, served_images
from ban_tf.tasks.task import Predictions


def evaluate(
    run: reading.RunReader,
    dataset: str,
    data_dir: str | None = None,
    skip_bad_files: bool = False,
) -> dict[str, Any]:
    """Evaluates the generations of a finished run on the test split of a dataset.

    Args:
        run: The run.
        dataset: As `--dataset` of `ban_tf.main`; its numbers are in the column of the run's.
        data_dir: Not used.
        skip_bad_files: As for `image_inference.evaluate`.

    Returns:
        A summary; see `metrics.summary`.

    Raises:
        InputError: The data cannot be loaded, or does not fit the models.
    """
    facts = reading.read_data_facts(run)
    target = facts.class_names[0]
    if dataset == ROTATED and target != rotated_digits.ANGLE:
        raise InputError(f"--dataset={dataset} has angles, but {run.path} was trained on {target}.")
    data, _ = image_inference.load(run, facts, dataset, data_dir, skip_bad_files, target)
    models = map(number_models.split, image_inference.generations(run, facts))
    found = [inference.values(model, data.test.images, facts) for model in models]
    seed = reading.settings(run).get("seed", 0)
    rows = regression.rows(found, summary.groups(len(found)), data.test.labels, seed)
    about, members = finished_runs.about(run, dataset), finished_runs.members(run)
    return summary.assemble(about, members, rows, finished_runs.average(run), "regression")


def probabilities(run: reading.RunReader, images: Any, which: str) -> np.ndarray:
    """Predicts numbers, float64 `[images]`.

    The arguments and errors are those of `image_inference.probabilities`.
    """
    facts = reading.read_data_facts(run)
    model = number_models.split(image_inference.load_model(run, which, facts))
    return inference.values(model, image_reading.as_images(images, facts), facts)


def predict(
    run: reading.RunReader, names: Sequence[str], which: str, top: int | None = None
) -> Predictions:
    """Predicts the numbers of image files; those that cannot be read are left out.

    Args:
        run: The run.
        names: Paths of images or of folders, and patterns; see `image_paths.expand`.
        which: "ensemble", or the number of a generation.
        top: Refused.

    Raises:
        InputError: The model does not exist, or `top` is given.
    """
    if top is not None:
        raise InputError(f"--top={top} is for classes, but {run.path} predicts a number.")
    facts = reading.read_data_facts(run)
    model = number_models.split(image_inference.load_model(run, which, facts))
    rows: list[list[Any]] = []
    lines: list[str] = []
    bad: list[str] = []

    def outputs_of(images: np.ndarray) -> np.ndarray:
        return inference.values(model, images, facts)

    for file, value in image_reading.predicted_files(names, facts, outputs_of, bad):
        rows.append([file, csv_tables.number(value)])
        lines.append(f"{file}\t{shown.number(value)}")
    return Predictions(["image", facts.class_names[0]], rows, lines, bad)


served_data = served_images.load


def served(
    run: reading.RunReader, which: str, preprocessing: bool, to: str
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a model for export, and its description with the name of the number."""
    model, manifest = image_inference.served(run, which, preprocessing, to, None)
    (target,) = manifest.pop("class_names")
    return model, {"target": target, **manifest, "output": "values"}
