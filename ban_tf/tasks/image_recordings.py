"""What is recorded of teachers on images: how many views of which augmentation, and if it pays.

Recording costs one pass over the data per view, and saves one pass per epoch. It is the same
computation done earlier, so that nothing is saved if every epoch of a single generation has its
own view. It pays

1. if views repeat: without augmentation, or with fewer `--teacher_views` than epochs;
2. if one teacher has several students: `--teacher=first`, or further runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ban_tf import datasets
from ban_tf.config.idle import needs_online
from ban_tf.config.options import Options
from ban_tf.datasets import policies
from ban_tf.distillation import recording

_LARGEST_SHARE = 0.5  # of the free disk space that `auto` may use
_SAMPLED_IMAGES = 1024


def pays(options: Options, data: datasets.ImageData) -> bool:
    """Returns whether recording saves passes and fits on the disk, for `--teacher_signal=auto`."""
    count = views(options, augmentation(options, data))
    returning = count < options.epochs
    shared = options.teacher == "first" and options.generations > 1
    if needs_online(options) or not options.generations or not (returning or shared):
        return False
    needed = form(options, data, count, data.train).bytes * (
        1 if options.teacher == "first" else options.generations
    )
    return needed <= _LARGEST_SHARE * recording.free_space(options.recordings_directory)


def augmentation(options: Options, data: datasets.ImageData) -> str:
    """Returns the augmentation that `--augment` means, one of `policies.POLICIES`."""
    return policies.resolve(options.augment, data.augment, data.input_shape)


def augmented(options: Options, data: datasets.ImageData) -> bool:
    """Returns whether the training images are augmented."""
    return augmentation(options, data) != "none"


def views(options: Options, augment: str) -> int:
    """Returns how many views of the training data are recorded for a teacher."""
    if augment == "none":
        return 1
    return options.teacher_views or options.epochs


def form(
    options: Options, data: datasets.ImageData, views: int, split: datasets.Split
) -> recording.Form:
    """Returns the shape of the recording of one teacher, of so many views of a split."""
    precision = "float32" if data.of_numbers else "float16"
    top, pixels = options.teacher_top, split.labels.shape[1:] if has_masks(data) else ()
    return recording.Form(views, len(split.labels), data.num_classes, top, precision, pixels)


def forms(
    options: Options, data: datasets.ImageData, views: int
) -> tuple[recording.Form, recording.Form]:
    """Returns the shapes of the recordings of one teacher, of training and validation images."""
    return form(options, data, views, data.train), form(options, data, 1, data.validation)


def has_masks(data: datasets.ImageData) -> bool:
    """Returns whether each pixel has a class."""
    return data.train.labels.ndim == 3


def facts(data: datasets.ImageData, split: datasets.Split) -> list[Any]:
    """Returns values that identify the inputs of a split; of many images, evenly spaced ones."""
    step = max(1, len(split.labels) // _SAMPLED_IMAGES)
    return [split.labels, np.asarray(split.images[::step]), data.mean, data.std]
