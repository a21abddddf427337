"""Loads the models of a finished run for inference."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np

from ban_tf.compat import outputs
from ban_tf.datasets import resizing
from ban_tf.datasets.device_images import Preparation
from ban_tf.datasets.image_data import Rows
from ban_tf.distillation import teacher_names, teachers
from ban_tf.errors import RunDirectoryError
from ban_tf.runs import eval_batches, model_files, number_models, reading
from ban_tf.runs.preferred import ENSEMBLE


def load(run: reading.RunReader, which: str = ENSEMBLE) -> keras.Model:
    """Loads a generation or the ensemble as a plain Keras model.

    Args:
        run: The run; it need not be finished.
        which: "ensemble", or the number of a finished generation.

    Raises:
        RunDirectoryError: The model does not exist, or its file is damaged.
    """
    finished = reading.finished_generations(run)
    if which == ENSEMBLE:
        if f"{ENSEMBLE}.keras" not in run.names():
            raise RunDirectoryError(
                f"{run.path} has no ensemble yet; finish the run ({reading.resume(run)}), or "
                "choose a generation."
            )
        return model_files.load(run, f"{ENSEMBLE}.keras")
    if which not in map(str, finished):
        known = ", ".join(map(str, finished)) or "none"
        raise RunDirectoryError(
            f"There is no model {which}: it must be {ENSEMBLE} or the number of a finished "
            f"generation; {run.path} has {known}."
        )
    name = f"generation-{which}/model.keras"
    settings = reading.settings(run)
    if name not in run.names() and teacher_names.is_first_model(settings):
        given = settings["teacher_from"]
        if not pathlib.Path(given).is_file():
            raise RunDirectoryError(f"Generation 0 of {run.path} was {given}, which is gone.")
        return teachers.load_model(given)
    return model_files.load(run, name)


def check_fits(
    model: keras.Model,
    facts: reading.DataFacts,
    run: reading.RunReader,
    per_pixel: bool = False,
) -> None:
    """Checks that a model takes images of the described shape, and returns as many classes.

    Args:
        model: A model of the run.
        facts: The description.
        run: The run.
        per_pixel: Whether it returns them for each pixel.

    Raises:
        RunDirectoryError: It does not.
    """
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    pixels = facts.input_shape[:2] if per_pixel else ()
    wanted = (None, *facts.input_shape), (None, *pixels, len(facts.class_names))
    if not all(_agree(shape, other) for shape, other in zip(shapes, wanted, strict=True)):
        raise RunDirectoryError(
            f"{run.path / reading.DATA} describes images of shape {facts.input_shape} in "
            f"{len(facts.class_names)} classes, which is not what the model takes and returns."
        )


def _agree(shape: Any, wanted: tuple[int | None, ...]) -> bool:
    return (
        isinstance(shape, tuple)
        and len(shape) == len(wanted)
        and all(None in pair or pair[0] == pair[1] for pair in zip(shape, wanted, strict=True))
    )


def output_kind(model: keras.Model) -> str:
    """Returns the kind of a model's outputs: "logits" or "probabilities"."""
    return "logits" if outputs.first_activation(model) == "linear" else "probabilities"


def classifier(
    model: keras.Model,
    facts: reading.DataFacts,
    any_size: bool = False,
    last: str | None = "softmax",
) -> keras.Model:
    """Wraps a model with preprocessing and its last activation.

    Args:
        model: Takes normalized images.
        facts: The data, including mean and standard deviation.
        any_size: Whether the result takes images of any size, and resizes them as in training.
        last: What makes probabilities of logits: "softmax", or "sigmoid" for independent labels;
            None keeps numbers.

    Returns:
        A model of stock Keras layers around the given one, from uint8 images
        `[batch, height, width, channels]` to float32 class probabilities `[batch, classes]`, or
        `[batch, height, width, classes]` of the pixels of resized images, or to numbers.
    """
    height, width, channels = facts.input_shape
    shape = (None, None, channels) if any_size else facts.input_shape
    images = keras.Input(shape, dtype="uint8", name="images")
    resized = resizing.layer((height, width), facts.resize)(images) if any_size else images
    mean, std = np.asarray(facts.mean), np.asarray(facts.std)
    # (x / 255 - mean) / std as one multiplication and one addition.
    normalized = keras.layers.Rescaling(
        (1.0 / (255.0 * std)).tolist(), (-mean / std).tolist(), dtype="float32", name="normalize"
    )(resized)
    # Explicit, since a layer that resizes turns the mode of all later layers to training.
    results = model(normalized, training=False)
    if last is not None and output_kind(model) == "logits":
        results = keras.layers.Activation(last, dtype="float32", name="probabilities")(results)
    return keras.Model(images, results, name="classifier" if last else "regressor")


def log_probabilities(
    model: keras.Model, images: np.ndarray | Rows, facts: reading.DataFacts
) -> np.ndarray:
    """Predicts classes of images.

    Args:
        model: A model of the run.
        images: uint8 `[examples, height, width, channels]`, in memory or on disk.
        facts: The data, including mean and standard deviation.

    Returns:
        Normalized log-probabilities, float64 `[examples, classes]`, or those of each pixel,
        `[examples, height, width, classes]`.
    """
    return outputs.log_probabilities(*_predicted(model, images, facts))


def log_odds(model: keras.Model, images: np.ndarray | Rows, facts: reading.DataFacts) -> np.ndarray:
    """Predicts labels of images: their log-odds, float64 `[examples, labels]`.

    The arguments are those of `log_probabilities`.
    """
    return outputs.log_odds(*_predicted(model, images, facts))


def values(
    model: number_models.NumberModel, images: np.ndarray | Rows, facts: reading.DataFacts
) -> np.ndarray:
    """Predicts the numbers of images, float64 `[examples]`.

    The other arguments are those of `log_probabilities`.
    """
    return model.in_unit(_predicted(model.model, images, facts)[0])


def _predicted(
    model: keras.Model, images: np.ndarray | Rows, facts: reading.DataFacts
) -> tuple[np.ndarray, str]:
    """Returns what a model gives for images, and its last activation."""
    activation = outputs.first_activation(model)
    prepare = Preparation(np.asarray(facts.mean, np.float32), np.asarray(facts.std, np.float32))
    batch = eval_batches.size_for(lambda: [model], facts.input_shape)
    raw = [
        model.predict_on_batch(prepare.images(images[start : start + batch]))
        for start in range(0, len(images), batch)
    ]
    return np.concatenate(raw), activation
