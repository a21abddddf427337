"""`--teacher_from` on images: the model, the pixels that it takes, and whether they are right."""

from __future__ import annotations

import pathlib

import keras
import numpy as np

from ban_tf import datasets
from ban_tf.architectures import pixels
from ban_tf.compat import preparation
from ban_tf.datasets import image_data
from ban_tf.distillation import teachers
from ban_tf.errors import InputError, RunDirectoryError
from ban_tf.runs import inference, reading

_CHECKED = 2000  # validation images, of larger data


def load(path: str, dataset: str, data: datasets.ImageData) -> keras.Model:
    """Loads a model as generation 0 on a dataset.

    Raises:
        InputError: It cannot be read, or does not fit.
    """
    model = teachers.load_model(path)
    check_fits(model, path, dataset, data)
    return model


def check_fits(model: keras.Model, path: str, dataset: str, data: datasets.ImageData) -> None:
    """Checks that a model can be generation 0 on a dataset.

    Raises:
        InputError: Its inputs or outputs do not fit.
    """
    if preparation.of(model) is not None:
        raise InputError(
            f"--teacher_from={path} prepares its own input with its preprocessor, "
            "but images are normalized here; set its `preprocessor` to None and save it again if "
            "it takes normalized images, or use `ban_tf.Lineage`."
        )
    count = len(getattr(model, "outputs", None) or ())
    if count != 1:
        raise InputError(
            f"--teacher_from={path} must be a Functional or Sequential model with "
            f"one output; it has {count or 'none that is known'}."
        )
    classes = model.output_shape[-1]
    if classes != data.num_classes:
        raise InputError(
            f"--teacher_from={path} has {classes} classes, but "
            f"--dataset={dataset} has {data.num_classes}."
        )
    if tuple(model.input_shape[1:]) != tuple(data.input_shape):
        raise InputError(
            f"--teacher_from={path} takes inputs of shape "
            f"{model.input_shape[1:]}, but --dataset={dataset} has {data.input_shape}."
        )


def form_of(model: keras.Model, path: str, form: str) -> str:
    """Returns the form of pixels that a given teacher takes.

    Args:
        model: The model.
        path: Its file; the models of a run take what `data.json` of the run describes.
        form: The value of `--teacher_input`.
    """
    if form != "auto":
        return form
    facts = _run_of(path)
    return pixels.of_model(model) if facts is None else pixels.name_of(facts.mean, facts.std)


def _run_of(path: str) -> reading.DataFacts | None:
    """Returns the description of the data of the run that a file belongs to, if it is a run's."""
    for folder in pathlib.Path(path).absolute().parents[:2]:
        if (folder / reading.DATA).is_file():
            try:
                return reading.read_data_facts(reading.RunReader(folder))
            except RunDirectoryError:
                return None
    return None


def check_accuracy(
    model: keras.Model,
    path: str,
    form: str,
    data: datasets.ImageData,
    normalized: pixels.Pixels,
    chance: float | None,
) -> None:
    """Checks that a given teacher is better than chance on the validation data.

    A model of a run takes the pixels that its run recorded, and is not checked.

    Args:
        model: The model, which takes `form`.
        path: Its file.
        form: One of `pixels.TEACHER_FORMS`.
        data: The data.
        normalized: The numbers of normalized pixels.
        chance: The accuracy of chance; None checks nothing.

    Raises:
        InputError: It is not; most likely it was trained on other pixels.
    """
    if chance is None or _run_of(path) is not None:
        return
    validation = data.validation
    step = max(1, len(validation.labels) // _CHECKED)
    split = validation.select(np.arange(0, len(validation.labels), step))
    right = _accuracy(model, form, split, normalized)
    if right > chance:
        return
    others = {
        other: _accuracy(model, other, split, normalized)
        for other in pixels.TEACHER_FORMS
        if other != form and (data.input_shape[-1] == 3 or other not in ("imagenet", pixels.CAFFE))
    }
    best = max(others, key=lambda other: others[other])
    raise InputError(
        f"--teacher_from={path} is right about {right:.1%} of the validation images, which is no "
        f"better than chance ({chance:.1%}): most likely it was trained on other pixels than "
        f"{form} ones, or on other classes. "
        + (
            f"With --teacher_input={best} it is right about {others[best]:.1%}."
            if others[best] > chance
            else f"Say which with --teacher_input={'|'.join(others)}."
        )
    )


def _accuracy(
    model: keras.Model, form: str, split: image_data.Split, normalized: pixels.Pixels
) -> float:
    wanted = pixels.described(form, *normalized[:2])
    images = np.asarray(split.images[:])
    images = images[..., ::-1] if wanted.blue_first else images
    facts = reading.DataFacts("", (), images.shape[1:], tuple(wanted.mean), tuple(wanted.std))
    predicted = inference.log_probabilities(model, images, facts).argmax(axis=-1)
    return float(np.mean(predicted == split.labels))
