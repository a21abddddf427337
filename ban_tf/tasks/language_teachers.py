"""Teachers of language models that are given or recorded.

A teacher reads the text in the same batches in every epoch, from its start, so that one recording
serves all epochs. Its rows are those of the batches, batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from ban_tf.compat.loss_kinds import CATEGORICAL
from ban_tf.compat.streams import with_streams
from ban_tf.config.options import Options
from ban_tf.datasets import text, text_batches
from ban_tf.distillation import recording, teacher_names, teachers
from ban_tf.distillation.teachers import OnlineTeacher
from ban_tf.errors import InputError
from ban_tf.runs import reading
from ban_tf.tasks import teacher_passes
from ban_tf.tasks.language_training import reset_states

TRAIN, VALIDATION = "train", "validation"


def given(path: str, vocabulary: Sequence[str]) -> keras.Model:
    """Loads the model of `--teacher_from`.

    Raises:
        InputError: It is no language model of these words; or the run that it belongs to, which
            knows its words, is not around it.
    """
    if not teacher_names.is_first_model({"teacher_from": path}):
        raise InputError(
            f"--teacher_from={path} must be one .keras file of a run on text: neither recordings "
            "nor several models teach words."
        )
    model = teachers.load_model(path)
    run = reading.run_around(path)
    if run is None or reading.VOCABULARY not in run.names():
        raise InputError(
            f"--teacher_from={path} must be in the directory of its run on text, whose "
            f"{reading.VOCABULARY} has its words."
        )
    shape = getattr(model, "output_shape", None) or ()
    if reading.read_vocabulary(run) != tuple(vocabulary) or len(shape) != 3:
        raise InputError(
            f"--teacher_from={path} must be a language model of the words of this text: of a run "
            f"on the same training text. {run.path / reading.VOCABULARY} has others."
        )
    return model


def form(options: Options, data: text.TextData, part: str) -> recording.Form:
    """Returns the shape of the recording of one teacher.

    Args:
        options: The options of the run.
        data: The text.
        part: `TRAIN` or `VALIDATION`.
    """
    streams, steps = options.batch_size, options.unroll
    tokens = getattr(data, part)
    counted = text_batches.training_steps if part == TRAIN else text_batches.evaluation_steps
    rows = counted(tokens, streams, steps) * streams
    words, top = len(data.vocabulary), options.teacher_top
    return recording.Form(1, rows, words, top, positions=(steps,))


def forms(options: Options, data: text.TextData) -> list[recording.Form]:
    """Returns the shapes of the recordings of one teacher, of both parts."""
    return [form(options, data, part) for part in (TRAIN, VALIDATION)]


def record(
    options: Options, data: text.TextData, part: str, teacher: OnlineTeacher, generation: int
) -> recording.Recording:
    """Records what is missing of a teacher; see `recording.record`.

    Args:
        options: The options of the run.
        data: The text.
        part: `TRAIN` or `VALIDATION`.
        teacher: The teacher.
        generation: The number of its student, for the screen.
    """
    streams, steps = options.batch_size, options.unroll
    tokens = getattr(data, part)
    # On several replicas, the teacher itself has the states of the rows of one.
    models = [with_streams(model, streams) for model in teacher.models]
    whole = OnlineTeacher(models, teacher.activation, weights=teacher.weights)
    predict = teacher_passes.predictor(whole, CATEGORICAL)
    read: Callable[..., Any] = text_batches.evaluation_batches
    if part == TRAIN:
        read = text_batches.training_batches

    def outputs(view: int, first: int) -> Iterator[np.ndarray]:
        for model in models:
            reset_states(model)
        # An interrupted recording reads the text from its start, too: states follow from it.
        for number, (words, *_) in enumerate(read(tokens, streams, steps)):
            rows = predict(words)
            yield rows[max(0, first - number * streams) :]

    name = recording.digest(models, tokens, part, streams, steps, options.teacher_top)
    return teacher_passes.record(
        options.recordings_directory / name,
        form(options, data, part),
        outputs,
        lambda rows: rows,
        f"Recording the teacher of generation {generation}" if part == TRAIN else "",
        options.progress,
    )
