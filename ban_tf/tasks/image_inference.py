"""Applies trained classifiers to new images: evaluation, prediction and export."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from ban_tf import datasets
from ban_tf.datasets import folder_layout, image_files, resizing
from ban_tf.errors import InputError
from ban_tf.metrics import summary
from ban_tf.runs import inference, reading
from ban_tf.tasks.task import Predictions


def evaluate(run: reading.RunReader, dataset: str, data_dir: str | None = None) -> dict[str, Any]:
    """Evaluates the generations of a run on the test split of a dataset.

    Args:
        run: The run.
        dataset: As `--dataset` of `ban_tf.main`.
        data_dir: The directory of TFDS data.

    Returns:
        A summary; see `metrics.summary`.

    Raises:
        InputError: The data cannot be loaded, or does not fit the models.
    """
    facts = reading.read_data_facts(run)
    settings = reading.settings(run)
    data = datasets.load(
        dataset,
        data_dir=data_dir,
        image_size=facts.input_shape[:2],
        resize=facts.resize,
        channels=_channels(facts),
        skip_bad_files=settings.get("skip_bad_files", False),
        test_fraction=settings.get("test_fraction", 0.2),
    )
    # By name: earlier versions had another order, and did not normalize names.
    trained = [folder_layout.normalized(name) for name in facts.class_names]
    names = [folder_layout.normalized(name) for name in data.class_names]
    if sorted(trained) != sorted(names):
        raise InputError(
            f"--dataset={dataset} has the classes {_listed(data.class_names)}, but {run.path} was "
            f"trained on {_listed(facts.class_names)}."
        )
    members = [
        summary.Member(
            number,
            run.metadata.get("generations", {}).get(str(number), {}).get("taught_by", "given"),
            inference.log_probabilities(_model(run, str(number), facts), data.test.images, facts),
        )
        for number in reading.finished_generations(run)
    ]
    about = {
        "dataset": dataset,
        "architecture": settings.get("arch", "unknown"),
        "objective": settings.get("objective", "unknown"),
        "seed": settings.get("seed", 0),
    }
    average = settings.get("ensemble_average", "probabilities")
    labels = np.array([trained.index(name) for name in names])[data.test.labels]
    return summary.summarize(about, members, labels, average)


def probabilities(
    run: reading.RunReader, images: np.ndarray | Sequence[str | pathlib.Path], which: str
) -> np.ndarray:
    """Predicts class probabilities, float64 `[images, classes]`.

    Args:
        run: The run.
        images: uint8 `[images, height, width, channels]`, or paths of image files, which are
            resized to the input size of the run.
        which: "ensemble", or the number of a generation.

    Raises:
        InputError: The model does not exist, a file is not an image, or an array does not fit.
    """
    facts = reading.read_data_facts(run)
    model = _model(run, which, facts)
    if isinstance(images, np.ndarray):
        if images.dtype != np.uint8 or images.shape[1:] != facts.input_shape:
            raise InputError(
                f"images must be uint8 of shape {('images', *facts.input_shape)}. Received: "
                f"{images.dtype} of shape {images.shape}"
            )
    else:
        images = np.stack([read_image(path, facts.input_shape, facts.resize) for path in images])
    return np.exp(inference.log_probabilities(model, images, facts))


def predict(
    run: reading.RunReader, files: Sequence[str], which: str, top: int | None = None
) -> Predictions:
    """Predicts the classes of image files.

    Args:
        run: The run.
        files: Paths of images.
        which: "ensemble", or the number of a generation.
        top: Must be None: the table has all classes.

    Raises:
        InputError: The model does not exist, or a file is not an image.
    """
    if top is not None:
        raise InputError(f"--top={top} does nothing with images: --csv has all classes.")
    facts = reading.read_data_facts(run)
    rows, lines = [], []
    for path, row in zip(files, probabilities(run, files, which), strict=True):
        name = facts.class_names[row.argmax()]
        rows.append([path, name, *(f"{p:.8g}" for p in row)])
        lines.append(f"{path}\t{name}\t{row.max():.4f}")
    return Predictions(["image", "class", *facts.class_names], rows, lines)


def read_image(
    path: str | pathlib.Path, shape: tuple[int, int, int], resize: str = "stretch"
) -> np.ndarray:
    """Reads an image, upright and without transparency, uint8 `[height, width, channels]`.

    Args:
        path: The file.
        shape: Height, width and channels.
        resize: How it is brought to this size; see `datasets.resizing`.

    Raises:
        InputError: The file does not exist, or is not an image.
    """
    height, width, channels = shape
    if channels not in (1, 3):
        raise InputError(f"Images of {channels} channels cannot be read from files.")
    image = image_files.open_image(path)
    return resizing.to_array(image, (height, width), resize, channels)


def served(
    run: reading.RunReader, which: str, preprocessing: bool, to: str
) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a model for export, and its description for the manifest."""
    facts = reading.read_data_facts(run)
    model = _model(run, which, facts)
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
    served_model = inference.classifier(model, facts, any_size) if preprocessing else model
    return served_model, manifest


def _channels(facts: reading.DataFacts) -> int | None:
    """Returns the channels to which images can be converted."""
    return facts.input_shape[-1] if facts.input_shape[-1] in (1, 3) else None


def _model(run: reading.RunReader, which: str, facts: reading.DataFacts) -> keras.Model:
    model = inference.load(run, which)
    inference.check_fits(model, facts, run)
    return model


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = ", ..." if len(names) > most else ""
    return f"{', '.join(names[:most])}{more} ({len(names)})"
