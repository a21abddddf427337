"""Applies trained segmenters to new images: evaluation, prediction and export."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ban_tf import datasets
from ban_tf.datasets import image_files, masks, names, pipeline, resizing, segmentation
from ban_tf.datasets.folder_layout import ALL
from ban_tf.errors import InputError
from ban_tf.metrics import summary
from ban_tf.runs import inference, reading, segments
from ban_tf.tasks import (
    data_facts,
    finished_runs,
    image_inference,
    image_paths,
    image_reading,
    segmentation_scores,
)
from ban_tf.tasks.task import Predictions

_NAMED = 3  # classes of an image on the screen


def evaluate(run: reading.RunReader, dataset: str, data_dir: str | None = None) -> dict[str, Any]:
    """Evaluates the generations of a run, and their ensembles, on images and masks.

    Args:
        run: The run.
        dataset: As `--dataset`. Of a folder with train and test the test part is evaluated; of one
            with images and masks alone everything, unless it is the one that the run was trained
            on.
        data_dir: The directory of TFDS data.

    Returns:
        A summary; see `metrics.summary`.

    Raises:
        InputError: The data cannot be loaded, or does not fit the models.
    """
    facts = reading.read_data_facts(run)
    data = _load(run, facts, dataset, data_dir)
    finished = reading.finished_generations(run)
    models = [
        image_inference.load_model(run, str(number), facts, per_pixel=True) for number in finished
    ]
    size = segmentation_scores.batch_size(
        lambda: models, facts.input_shape, len(facts.class_names), len(models)
    )
    data = dataclasses.replace(
        data, mean=np.asarray(facts.mean, np.float32), std=np.asarray(facts.std, np.float32)
    )
    batches = pipeline.evaluation_batches(data.test, data, size)
    average = finished_runs.average(run)
    scores = segmentation_scores.score(models, summary.groups(len(models)), batches, average)
    about, members = finished_runs.about(run, dataset), finished_runs.members(run)
    rows = segmentation_scores.rows(scores)
    return summary.assemble(about, members, rows, average, "segmentation")


def _load(
    run: reading.RunReader, facts: reading.DataFacts, dataset: str, data_dir: str | None
) -> datasets.ImageData:
    """Loads a dataset as the run would; of another one without parts, all images are test data."""
    settings = reading.settings(run)
    void = settings.get("void_label", masks.VOID)

    def load(split: bool) -> datasets.ImageData:
        return segmentation.load(
            dataset,
            data_dir=data_dir,
            void_label=None if void < 0 else void,
            validation_fraction=0.0,
            train_examples=settings.get("train_examples") if split else None,
            image_size=facts.input_shape[:2],
            resize=facts.resize,
            channels=image_reading.channels_of(facts),
            test_fraction=settings.get("test_fraction", 0.2),
            class_names=facts.class_names,
            split=split,
        )

    same = dataset == settings.get("dataset")
    if not same and ALL in names.parts(dataset):  # perhaps the same folder by another name
        with contextlib.suppress(InputError):  # such as too few images to be divided
            same = settings.get("data") == data_facts.known_by(load(split=True).content)
    return load(same)


def probabilities(run: reading.RunReader, images: Any, which: str) -> np.ndarray:
    """Predicts the classes of pixels, float64 `[images, height, width, classes]`.

    Args:
        run: The run.
        images: uint8 `[images, height, width, channels]`, or paths of image files, which are
            resized to the input size of the run.
        which: "ensemble", or the number of a generation.

    Raises:
        InputError: The model does not exist, a file is not an image, or an array does not fit.
    """
    return image_inference.probabilities(run, images, which, per_pixel=True)


def predict(
    run: reading.RunReader, names: Sequence[str], which: str, top: int | None = None
) -> Predictions:
    """Predicts the masks of image files; those that cannot be read are left out.

    Args:
        run: The run.
        names: Paths of images or of folders, and patterns; see `image_paths.expand`.
        which: "ensemble", or the number of a generation.
        top: How many of the largest classes are shown; 3 by default, and all in the table.

    Returns:
        The share of each class in the pixels of an image, and masks of the size of the images.

    Raises:
        InputError: The model does not exist.
    """
    facts = reading.read_data_facts(run)
    model = image_inference.load_model(run, which, facts, per_pixel=True)
    files, bad = image_paths.expand(names)
    rows: list[list[Any]] = []
    lines: list[str] = []
    pictures: list[tuple[str, bytes]] = []
    for path in files:
        try:
            mask = _predict_mask(model, path, facts)
        except InputError as error:
            bad.append(str(error))
            continue
        counts = np.bincount(mask.ravel(), minlength=len(facts.class_names))
        shares = counts[: len(facts.class_names)] / counts[: masks.VOID].sum()
        largest = np.argsort(-shares, kind="stable")[: top or _NAMED]
        words = [f"{facts.class_names[label]}\t{shares[label]:.4f}" for label in largest]
        lines.append("\t".join([path, *words]))
        rows.append([path, *(f"{share:.8g}" for share in shares)])
        pictures.append((path, masks.to_png(mask, len(facts.class_names))))
    return Predictions(["image", *facts.class_names], rows, lines, bad, pictures)


def _predict_mask(model: keras.Model, path: str, facts: reading.DataFacts) -> np.ndarray:
    """Predicts the mask of a file, uint8 of the size of its image."""
    height, width, channels = facts.input_shape
    image = image_files.open_image(path)
    pixels = resizing.to_array(image, (height, width), facts.resize, channels)
    found = inference.log_probabilities(model, pixels[None], facts)[0].argmax(axis=-1)
    return masks.at_original_size(found.astype(np.uint8), (image.height, image.width), facts.resize)


def final_row(run: reading.RunReader, student: reading.RunReader) -> dict[str, Any]:
    """Returns the metrics of a final student against generation 0 of a run; see `Task`."""
    classes = len(reading.read_data_facts(run).class_names)
    first, own = segments.read(run, classes).counts[0], segments.read(student, classes).counts[1]
    log_loss = reading.read_summary(student)["generations"][1]["negative_log_likelihood"]
    return segmentation_scores.row(own, log_loss, first)


def served(
    run: reading.RunReader, which: str, preprocessing: bool, to: str
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a model for export, and its description; see `image_inference.served`."""
    return image_inference.served(run, which, preprocessing, to, per_pixel=True)
