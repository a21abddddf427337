"""The names of teachers on the command line and in settings; nothing is read here.

A name is `FILE` (or the folder of a SavedModel), `recording:PATH`, or several files with commas
between them, each with a weight after a colon or all without: `a.keras:0.7,b.keras:0.3`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from ban_tf.errors import InputError

SCHEME = "recording:"
# What settings of a run say of teachers of generation 0, before their hash.
RECORDED, SEVERAL = "a recording of hash ", "teachers of hash "
_KERAS = (".keras", ".h5", ".hdf5")
OTHER_RUNTIMES = (".onnx", ".pt", ".pt2", ".ts", ".torchscript")


class Source(NamedTuple):
    """A teacher.

    Attributes:
        name: Its file, or `recording:PATH`.
        weight: In the mean of several; None if all count alike.
    """

    name: str
    weight: float | None = None

    @property
    def is_recording(self) -> bool:
        """Whether it is a recording."""
        return self.name.startswith(SCHEME)

    @property
    def is_of_other_runtime(self) -> bool:
        """Whether it is a file of another runtime than Keras, or a folder."""
        if self.is_recording:
            return False
        return self.name.endswith(OTHER_RUNTIMES) or os.path.isdir(self.name)  # noqa: PTH112

    @property
    def path(self) -> str:
        """Where it is."""
        return self.name.removeprefix(SCHEME)


def parse(value: str) -> list[Source]:
    """Returns the teachers that a name stands for.

    Raises:
        InputError: Some have weights and others none, a weight is not positive, or a recording is
            among several.
    """
    parts = [_source(part.strip()) for part in value.split(",")]
    if len(parts) < 2 or not all(part.is_recording or part.name.endswith(_KERAS) for part in parts):
        return [Source(value)]
    if any(part.is_recording for part in parts):
        raise InputError(
            f"--teacher_from={value} mixes a recording with others; record the mean of them with "
            "ban_tf.record, or give it alone."
        )
    weights = [part.weight for part in parts]
    if None in weights and any(weights):
        raise InputError(
            f"--teacher_from={value} gives weights to some files and none to others; give one to "
            "each, as in a.keras:0.7,b.keras:0.3, or none."
        )
    if any(weight is not None and not 0 < weight < float("inf") for weight in weights):
        raise InputError(f"--teacher_from={value} must give positive, finite weights.")
    return parts


def _source(part: str) -> Source:
    name, _, text = part.rpartition(":")
    try:
        return Source(name, float(text)) if name else Source(part)
    except ValueError:
        return Source(part)


def is_first_model(settings: Mapping[str, Any]) -> bool:
    """Returns whether a given teacher is generation 0 itself: one file, of the same classes.

    Any other one teaches generation 0.

    Args:
        settings: Of a run, with "teacher_from" and "teacher_classes", if it has them.
    """
    value = settings.get("teacher_from")
    if not value or settings.get("teacher_classes") or value.startswith((RECORDED, SEVERAL)):
        return False
    try:
        sources = parse(value)
    except InputError:
        return False
    kinds = [source.is_recording or source.is_of_other_runtime for source in sources]
    return kinds == [False]
