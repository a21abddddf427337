"""Applies trained classifiers to new images: evaluation, prediction and export."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from ban_tf import datasets
from ban_tf.datasets import folder_hints, folder_layout
from ban_tf.errors import InputError
from ban_tf.metrics import summary
from ban_tf.runs import inference, reading
from ban_tf.tasks import class_folder, finished_runs, image_reading, likely, served_images
from ban_tf.tasks.task import Predictions


def evaluate(
    run: reading.RunReader,
    dataset: str,
    data_dir: str | None = None,
    skip_bad_files: bool = False,
) -> dict[str, Any]:
    """Evaluates the generations of a run on the test split of a dataset.

    All images of a folder of classes without train and test are test data; of the folder that the
    run was trained on, the test images of the run are, also where it has moved.

    Args:
        run: The run.
        dataset: As `--dataset` of `ban_tf.main`.
        data_dir: The directory of TFDS data.
        skip_bad_files: Whether to leave out images that cannot be read, as a run that was trained
            with `--skip_bad_files` always does.

    Returns:
        A summary; see `metrics.summary`. That of a folder of classes has `missing_classes` in
        its `run`, the names of those without images.

    Raises:
        InputError: The data cannot be loaded, or does not fit the models.
    """
    own = reading.settings(run).get("dataset", "")
    if class_folder.is_alone(dataset) and not (
        class_folder.is_own(dataset, own) or served_images.are_own(run, dataset)
    ):
        return _evaluate_folder(run, dataset, skip_bad_files)
    facts = reading.read_data_facts(run)
    data, trained = load(run, facts, dataset, data_dir, skip_bad_files)
    labels = trained[data.test.labels]
    models = generations(run, facts)
    rows = [inference.log_probabilities(model, data.test.images, facts) for model in models]
    return _summary(run, dataset, rows, labels)


def load(
    run: reading.RunReader,
    facts: reading.DataFacts,
    dataset: str,
    data_dir: str | None,
    skip_bad_files: bool,
    target: str | None = None,
) -> tuple[datasets.ImageData, np.ndarray]:
    """Loads a dataset in the size of a run's images.

    Args:
        run: The run.
        facts: Its data.
        dataset: As `--dataset`.
        data_dir: The directory of TFDS data.
        skip_bad_files: Whether to leave out images that cannot be read, independent of the run.
        target: The column of numbers, of a run that predicts them.

    Returns:
        The data, and the number that each of its classes has in the run, integers `[classes]`.

    Raises:
        InputError: The data cannot be loaded, or has other classes.
    """
    settings = reading.settings(run)
    data = datasets.load(
        dataset,
        data_dir=data_dir,
        image_size=facts.input_shape[:2],
        resize=facts.resize,
        channels=image_reading.channels_of(facts),
        skip_bad_files=skip_bad_files or settings.get("skip_bad_files", False),
        test_fraction=settings.get("test_fraction", 0.2),
        target=target,
    )
    # By name: earlier versions had another order, and did not normalize names.
    trained = [folder_layout.normalized(name) for name in facts.class_names]
    names = [folder_layout.normalized(name) for name in data.class_names]
    if sorted(trained) != sorted(names):
        raise InputError(
            f"--dataset={dataset} has the classes {_listed(data.class_names)}, but {run.path} was "
            f"trained on {_listed(facts.class_names)}."
        )
    return data, np.array([trained.index(name) for name in names])


def _evaluate_folder(run: reading.RunReader, dataset: str, skip_bad_files: bool) -> dict[str, Any]:
    """Evaluates the generations of a run on all images of a folder of classes."""
    facts = reading.read_data_facts(run)
    found = class_folder.find(dataset, facts.class_names)
    models = list(generations(run, facts))
    rows: list[list[np.ndarray]] = [[] for _ in models]
    labels: list[int] = []
    bad: list[str] = []
    for part in image_reading.read_files(found.files, facts):
        bad += part.bad
        labels += [found.labels[index] for index in part.indices]
        if part.indices:
            for model, member in zip(models, rows, strict=True):
                member.append(inference.log_probabilities(model, part.images, facts))
    skipped = skip_bad_files or reading.settings(run).get("skip_bad_files", False)
    if bad and not (skipped and labels):
        hint = "" if skipped else " Repair or delete them, or leave them out with --skip_bad_files."
        raise InputError(
            f"--dataset={dataset} has bad files ({len(bad)}): {folder_hints.few(bad)}{hint}"
        )
    folder_hints.warn_of_left_out(pathlib.Path(dataset.removeprefix("folder:")), bad)
    result = _summary(run, dataset, [np.concatenate(member) for member in rows], np.array(labels))
    result["run"]["missing_classes"] = list(found.missing)
    return result


def generations(run: reading.RunReader, facts: reading.DataFacts) -> Iterator[keras.Model]:
    """Returns the models of the finished generations, which are loaded one at a time."""
    return (load_model(run, str(number), facts) for number in reading.finished_generations(run))


def _summary(
    run: reading.RunReader, dataset: str, predictions: Sequence[np.ndarray], labels: np.ndarray
) -> dict[str, Any]:
    """Returns the summary of the log-probabilities of all generations."""
    about, members = finished_runs.about(run, dataset), finished_runs.members(run, predictions)
    return summary.summarize(about, members, labels, finished_runs.average(run))


def probabilities(
    run: reading.RunReader,
    images: np.ndarray | Sequence[str | pathlib.Path],
    which: str,
    per_pixel: bool = False,
) -> np.ndarray:
    """Predicts class probabilities, float64 `[images, classes]`.

    Args:
        run: The run.
        images: uint8 `[images, height, width, channels]`, or paths of image files, which are
            resized to the input size of the run.
        which: "ensemble", or the number of a generation.
        per_pixel: Whether the models classify each pixel, `[images, height, width, classes]`.

    Raises:
        InputError: The model does not exist, a file is not an image, or an array does not fit.
    """
    facts = reading.read_data_facts(run)
    model = load_model(run, which, facts, per_pixel)
    return np.exp(inference.log_probabilities(model, image_reading.as_images(images, facts), facts))


def predict(
    run: reading.RunReader, names: Sequence[str], which: str, top: int | None = None
) -> Predictions:
    """Predicts the classes of image files; those that cannot be read are left out.

    Args:
        run: The run.
        names: Paths of images or of folders, and patterns; see `image_paths.expand`.
        which: "ensemble", or the number of a generation.
        top: How many of the most likely classes; None for the first one, and for all in the table.

    Raises:
        InputError: The model does not exist.
    """
    facts = reading.read_data_facts(run)
    model = load_model(run, which, facts)
    rows: list[list[Any]] = []
    lines: list[str] = []
    bad: list[str] = []

    def outputs_of(images: np.ndarray) -> np.ndarray:
        return np.exp(inference.log_probabilities(model, images, facts))

    for file, row in image_reading.predicted_files(names, facts, outputs_of, bad):
        classes = likely.of(row, facts.class_names, top)
        lines.append("\t".join([file, *classes.shown]))
        rows.append([file, *classes.cells])
    return Predictions(["image", *likely.headings(facts.class_names, top)], rows, lines, bad)


def served(
    run: reading.RunReader,
    which: str,
    preprocessing: bool,
    to: str,
    last: str | None = "softmax",
    per_pixel: bool = False,
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a model for export, and its description for the manifest.

    Args:
        run: The run.
        which: "ensemble", or the number of a generation.
        preprocessing: Whether it takes images and returns probabilities.
        to: The format.
        last: What makes probabilities of logits; see `inference.classifier`.
        per_pixel: Whether it classifies pixels.
    """
    facts = reading.read_data_facts(run)
    model = load_model(run, which, facts, per_pixel)
    # Other formats cannot resize as in training.
    any_size = preprocessing and to in ("saved_model", "keras")
    manifest = {
        "class_names": list(facts.class_names),
        "input": {
            "shape": ["batch", *facts.input_shape],
            "dtype": "uint8" if preprocessing else "float32",
            "preprocessing": "none" if preprocessing else "(image / 255 - mean) / std",
            "mean": list(facts.mean),
            "std": list(facts.std),
            "resize": {
                "size": list(facts.input_shape[:2]),
                "method": facts.resize,
                "by": "model" if any_size else "caller",
            },
        },
        "output": "probabilities" if preprocessing else inference.output_kind(model),
    }
    if preprocessing:
        model = inference.classifier(model, facts, any_size, last)
    return model, manifest


served_data = served_images.load


def load_model(
    run: reading.RunReader, which: str, facts: reading.DataFacts, per_pixel: bool = False
) -> keras.Model:
    """Loads a model, and checks that it fits the data; see `inference.check_fits`."""
    model = inference.load(run, which)
    inference.check_fits(model, facts, run, per_pixel)
    return model


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = ", ..." if len(names) > most else ""
    return f"{', '.join(names[:most])}{more} ({len(names)})"
