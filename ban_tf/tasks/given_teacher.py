"""`--teacher_from` on images: the model, the pixels that it takes, and whether they are right."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from ban_tf import datasets
from ban_tf.architectures import adapted, own_preprocessor, pixels
from ban_tf.datasets import folder_hints, image_data
from ban_tf.distillation import class_maps, teachers
from ban_tf.errors import InputError
from ban_tf.runs import inference, reading
from ban_tf.tasks import chance

_CHECKED = 2000  # validation images, of larger data


def load(path: str, input_shape: Sequence[int]) -> keras.Model:
    """Loads a given model; one with a preprocessor of its own, as a model of raw images.

    Args:
        path: Its file.
        input_shape: Height, width and channels of the images.

    Raises:
        InputError: It cannot be read, or prepares no such images.
    """
    try:
        return own_preprocessor.inside(teachers.load_model(path), input_shape)
    except InputError as error:
        raise InputError(f"--teacher_from: {error}") from error


def described(model: keras.Model, form: str, normalized: pixels.Pixels) -> pixels.Pixels:
    """Returns the numbers of a form, one for each channel that a model takes.

    Args:
        model: The model; it may take more channels than gray images have.
        form: One of `pixels.TEACHER_FORMS`.
        normalized: The numbers of normalized pixels.
    """
    channels = model.input_shape[-1]
    mean, std = (np.broadcast_to(np.asarray(part), (channels,)) for part in normalized[:2])
    return pixels.described(form, mean.tolist(), std.tolist())


def check_fits(
    model: keras.Model, path: str, dataset: str, data: datasets.ImageData, classes: int | None
) -> None:
    """Checks that a model can teach on a dataset.

    Args:
        model: The model.
        path: Its file.
        dataset: The value of `--dataset`.
        data: The data.
        classes: The number of classes that it must have; None if they are mapped.

    Raises:
        InputError: Its inputs or outputs do not fit.
    """
    count = len(getattr(model, "outputs", None) or ())
    if count != 1:
        raise InputError(
            f"--teacher_from={path} must be a Functional or Sequential model with "
            f"one output; it has {count or 'none that is known'}."
        )
    found = model.output_shape[-1]
    if classes is not None and found != classes:
        raise InputError(
            f"--teacher_from={path} has {found} classes, but --dataset={dataset} has {classes}; "
            "map them with --teacher_classes=FILE."
        )
    channels = data.input_shape[-1]
    if len(model.input_shape) != 4 or channels not in (1, model.input_shape[-1]):
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
    facts = reading.of_run_around(path, reading.read_data_facts)
    return pixels.of_model(model) if facts is None else pixels.name_of(facts.mean, facts.std)


def class_names_of(path: str) -> tuple[str, ...] | None:
    """Returns the classes of a model of a run on images; None for any other model."""
    facts = reading.of_run_around(path, reading.read_data_facts)
    return None if facts is None else facts.class_names


def check_classes(path: str, dataset: str, data: datasets.ImageData) -> None:
    """Checks that a model of a run has the classes of the data, in the same order.

    Raises:
        InputError: It has others.
    """
    theirs = class_names_of(path)
    if theirs is not None and theirs != tuple(data.class_names):
        own = folder_hints.listed(data.class_names)
        raise InputError(
            f"--teacher_from={path} was trained on the classes {folder_hints.listed(theirs)}, but "
            f"--dataset={dataset} has {own}; map them with --teacher_classes."
        )


def check_accuracy(
    model: keras.Model,
    path: str,
    form: str,
    data: datasets.ImageData,
    normalized: pixels.Pixels,
    targets: list[int | None] | None = None,
) -> None:
    """Checks that a given teacher is better than chance on the validation data.

    A model of a run takes the pixels that its run recorded, and is not checked.

    Args:
        model: The model, which takes `form`.
        path: Its file.
        form: One of `pixels.TEACHER_FORMS`.
        data: The data.
        normalized: The numbers of normalized pixels.
        targets: The class of the data of each class of the model, None if they are the same.

    Raises:
        InputError: It is not; most likely it was trained on other pixels.
    """
    if reading.of_run_around(path, reading.read_data_facts) is not None:
        return
    validation = data.validation
    step = max(1, len(validation.labels) // _CHECKED)
    split = validation.select(np.arange(0, len(validation.labels), step))
    classes = None if targets is None else class_maps.of_indices(targets, data.num_classes)
    if classes is not None:  # of the others it can know nothing
        split = split.select(np.flatnonzero(np.isin(split.labels, classes.targets)))
    limit = chance.of_accuracy(np.asarray(split.labels))
    if limit is None:
        return
    right = _accuracy(model, form, split, normalized, classes)
    if right > limit:
        return
    others = {
        other: _accuracy(model, other, split, normalized, classes)
        for other in pixels.TEACHER_FORMS
        if other != form and (model.input_shape[-1] == 3 or other not in ("imagenet", pixels.CAFFE))
    }
    best = max(others, key=lambda other: others[other])
    raise InputError(
        f"--teacher_from={path} is right about {right:.1%} of the validation images, which is no "
        f"better than chance (at most {limit:.1%} in 95 of 100 cases): most likely it was trained "
        f"on other pixels than {form} ones, or on other classes. "
        + (
            f"With --teacher_input={best} it is right about {others[best]:.1%}."
            if others[best] > limit
            else f"Say which with --teacher_input={'|'.join(others)}."
        )
    )


def _accuracy(
    model: keras.Model,
    form: str,
    split: image_data.Split,
    normalized: pixels.Pixels,
    classes: class_maps.ClassMap | None,
) -> float:
    """Returns the part of images that a model is right about."""
    shape = split.images.shape[1:]
    raw = pixels.described(pixels.RAW, *normalized[:2])
    taking = adapted.adapted(model, described(model, form, normalized), raw, shape)
    facts = reading.DataFacts("", (), shape, tuple(raw.mean), tuple(raw.std))
    labels, images = np.asarray(split.labels), np.asarray(split.images[:])
    predicted = inference.log_probabilities(taking, images, facts)
    if np.isnan(predicted).any():
        raise InputError("The model of --teacher_from returns numbers that are not finite.")
    if classes is not None:
        predicted = class_maps.mapped(predicted, classes)
    return float(np.mean(predicted.argmax(axis=-1) == labels))
