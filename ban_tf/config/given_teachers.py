"""Checks `--teacher_from` before TensorFlow is imported: that it exists, and suits other flags."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ban_tf.distillation import teacher_names
from ban_tf.errors import OptionsError

if TYPE_CHECKING:
    from ban_tf.config.options import Options

# Flags that need the teacher's outputs for images that are not recorded, or its layers.
_OF_LAYERS = ("activation_weight", "feature_weight")
_MIXED = ("mixup", "cutmix", *_OF_LAYERS)


def check(options: Options) -> None:
    """Checks the teachers that are given.

    Raises:
        OptionsError: One does not exist, or cannot be used with another flag.
    """
    value, classes = options.teacher_from, options.teacher_classes
    # Unlike that of pathlib, this `isfile` is false for names that are too long.
    if classes and not os.path.isfile(classes):  # noqa: PTH113
        raise OptionsError(f"--teacher_classes names a file that does not exist: {classes}")
    if not value:
        return
    sources = teacher_names.parse(value)
    for source in sources:
        if source.is_recording:
            from ban_tf.distillation import recorded_outputs  # SciPy takes a second to import

            recorded_outputs.check_folder(source.path, f"--teacher_from={value}")
        elif os.path.isdir(source.path):  # noqa: PTH112
            _check_saved_model(source.path)
        elif ".keras:" in source.path:
            raise OptionsError(
                f"--teacher_from={value}: weights are numbers, of two files at least, as in "
                "a.keras:0.7,b.keras:0.3."
            )
        elif "," in source.path and not os.path.isfile(source.path):  # noqa: PTH113
            raise OptionsError(
                f"--teacher_from={value} names no file. If it lists several, all must be .keras "
                "files; record the mean of others with ban_tf.record."
            )
        elif not os.path.isfile(source.path):  # noqa: PTH113
            raise OptionsError(f"--teacher_from names a file that does not exist: {source.path}")
    if teacher_names.is_first_model({"teacher_from": value, "teacher_classes": classes}):
        return
    if options.objective.split("+")[0] == "labels":
        raise OptionsError(
            f"--teacher_from={value} teaches generation 0, which --objective={options.objective} "
            "does not; choose kd+labels or another one."
        )
    compared = next((name for name in _OF_LAYERS if getattr(options, name)), None)
    if compared:
        raise OptionsError(
            f"--{compared} compares layers with those of one Keras model, but "
            f"--teacher_from={value} is another kind of teacher; leave out one of them."
        )
    recorded, other = sources[0].is_recording, sources[0].is_of_other_runtime
    if not (recorded or other):
        return
    unmet = next((name for name in _MIXED if getattr(options, name)), None)
    if unmet:
        raise OptionsError(
            f"--{unmet} shows images that are not recorded; leave it out with "
            f"--teacher_from={value}."
        )
    if recorded and options.teacher_input != "auto":
        raise OptionsError(
            f"--teacher_input={options.teacher_input} does nothing with --teacher_from={value}, "
            "whose outputs are recorded. Leave it out."
        )


def _check_saved_model(folder: str) -> None:
    if os.path.isfile(os.path.join(folder, "saved_model.pb")):  # noqa: PTH113, PTH118
        return
    recorded = os.path.isfile(os.path.join(folder, "manifest.json"))  # noqa: PTH113, PTH118
    raise OptionsError(
        f"--teacher_from={folder} is a folder that holds no SavedModel"
        + (f"; give --teacher_from=recording:{folder} for a recording." if recorded else ".")
    )
