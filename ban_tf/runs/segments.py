"""What a run on masks keeps of its test images: pixels by image and class, and pictures."""

from __future__ import annotations

import io
import json
import re
from typing import Any, NamedTuple

import numpy as np

from ban_tf.errors import CorruptFileError
from ban_tf.metrics.segmentation import Counts
from ban_tf.runs import schemas
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import archives, json_schema

SEGMENTS = "segments.npz"
MODELS = "segments.json"
PICTURES = "overlays/"


class Segments(NamedTuple):
    """What is measured of the test images, and some of them in pictures.

    Attributes:
        models: The names of the generations and of the ensemble.
        counts: Of each of them, pixels by image and class.
        confusion: How often they take a class for another, int64 [models, classes, classes].
        files: The names of the images; None if they come from no files.
        pictures: PNG files by the index of an image.
    """

    models: tuple[str, ...]
    counts: list[Counts]
    confusion: np.ndarray
    files: tuple[str, ...] | None
    pictures: dict[int, bytes]

    def to_files(self) -> dict[str, bytes]:
        """Returns the files of a run that keep this, by name."""
        stacked: dict[str, Any] = {
            name: np.stack(part)
            for name, part in zip(Counts._fields, zip(*self.counts, strict=True), strict=True)
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, confusion=self.confusion, **stacked)
        known = {"models": list(self.models), "files": self.files and list(self.files)}
        found = {SEGMENTS: buffer.getvalue(), MODELS: json.dumps(known, indent=1).encode()}
        return found | {f"{PICTURES}{i}.png": content for i, content in self.pictures.items()}


def read(run: RunDirectory, classes: int) -> Segments:
    """Reads what a finished run has kept.

    Args:
        run: The run.
        classes: The number of its classes.

    Raises:
        RunDirectoryError: A file is missing or damaged, or they do not fit together.
    """
    name = run.path / MODELS
    known = json_schema.read(run.read(MODELS), schemas.SEGMENTS, name)
    arrays = archives.arrays(
        run.read(SEGMENTS), run.path / SEGMENTS, (*Counts._fields, "confusion")
    )
    models, files = tuple(known["models"]), known["files"]
    _check(arrays, (len(models), classes), run.path / SEGMENTS)
    images = arrays["true"].shape[1]
    if files is not None and len(files) != images:
        raise CorruptFileError(f"{name} names {len(files)} files of {images} images.")
    pictures = {}
    for file in run.names(PICTURES):
        index = re.fullmatch(rf"{PICTURES}(\d{{1,9}})\.png", file)
        if index and int(index[1]) < images:
            pictures[int(index[1])] = run.read(file)
    counts = [
        Counts(*(arrays[part][model] for part in Counts._fields)) for model in range(len(models))
    ]
    return Segments(
        models, counts, arrays["confusion"], None if files is None else tuple(files), pictures
    )


def _check(arrays: dict[str, np.ndarray], sizes: tuple[int, int], name: Any) -> None:
    """Checks that arrays are numbers of pixels that fit together."""
    models, classes = sizes
    right, true, predicted = (arrays[part] for part in Counts._fields)
    confusion = arrays["confusion"]
    fits = (
        all(array.dtype == np.int64 for array in (right, true, predicted, confusion))
        and right.ndim == 3
        and (right.shape[0], right.shape[2]) == (models, classes)
        and right.shape == true.shape == predicted.shape
        and confusion.shape == (models, classes, classes)
        and right.size
        and min(right.min(), confusion.min()) >= 0
        and (right <= np.minimum(true, predicted)).all()
        and (confusion.sum(axis=2) == true.sum(axis=1)).all()
        and true.sum() > 0
    )
    if not fits:
        raise CorruptFileError(f"{name} does not hold numbers of pixels of {classes} classes.")
