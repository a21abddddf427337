"""Passes of teachers and of frozen backbones over the data, which are recorded and shown."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ban_tf.compat import compiled
from ban_tf.compat.loss_kinds import BINARY
from ban_tf.distillation import recording
from ban_tf.distillation.teachers import OnlineTeacher
from ban_tf.system import bars
from ban_tf.system.shown import counted

# What to do if the disk is too small, and if it cannot be written.
_ADVICE = (
    "use fewer --teacher_views, --teacher_top, another --recordings or --teacher_signal=online",
    "Give another place with --recordings, or use --teacher_signal=online",
)


def record(
    folder: pathlib.Path,
    form: recording.Form,
    batches: Callable[[int, int], Any],
    predict: Callable[[Any], Any],
    what: str = "",
    progress: str = "none",
) -> recording.Recording:
    """Records what is missing of the outputs of a model, and shows the progress.

    Args:
        folder: See `recording.record`.
        form: See there.
        batches: See there.
        predict: Returns the outputs for a batch.
        what: What is done, for the screen, such as "Recording the teacher of generation 1"; shows
            nothing if it is empty.
        progress: The value of `--progress`.
    """
    shown = bool(what) and progress != "none"
    if shown:
        print(
            f"{what}: {counted(form.views, 'view')} of {form.examples:,} examples, "
            f"{recording.in_words(form.bytes)} in {folder}."
        )
    rows = form.views * form.examples
    with bars.bar("recording", rows, shown=shown and progress == "auto") as advance:
        return recording.record(folder, form, batches, predict, advance, _ADVICE)


@functools.lru_cache(maxsize=2)
def predictor(teacher: OnlineTeacher, kind: str) -> Callable[[Any], np.ndarray]:
    """Returns a function from a batch to the teacher's outputs, traced once for all its uses.

    Args:
        teacher: The teacher.
        kind: The kind of its outputs, such as "binary", of which the logits of yes are returned.
    """

    def predict(inputs: Any) -> Any:
        logits = next(iter(teacher.logits(inputs, kind).values()))
        return logits[..., 1] - logits[..., 0] if kind == BINARY else logits

    return compiled.inference(predict, teacher.models)
