"""What the gradient of distillation is made of, epoch for epoch.

The gradient of the paper's objective with respect to the student's logits is q - p, student
probabilities minus teacher probabilities. Its entry for the true class is what labels would give,
rescaled by the teacher's confidence; the other entries are the dark knowledge (Furlanello et al.,
2018, eqs. 7 and 8). `decompose` takes the two apart for one batch, `Analysis` does so for the
same examples after every epoch of a `BornAgainModel`.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ban_tf.distillation import matching
from ban_tf.errors import CorruptFileError, InputError
from ban_tf.objectives.label_forms import distribution
from ban_tf.system import event_files, json_schema, safe_files
from ban_tf.system.files import convert_os_errors, write_atomically

BINS = 20
# What the two histograms cover: confidences, and weights as multiples of an equal weight.
RANGES = {"teacher_confidence_histogram": (0.0, 1.0), "weight_histogram": (0.0, 2.0)}
# What is drawn of a run over its epochs, and in which words.
QUANTITIES = {
    "dark_knowledge_share": "dark knowledge's share of |gradient|²",
    "teacher_agreement": "agreement with the teacher",
    "kl_divergence": "KL(teacher ‖ student)",
}


def decompose(labels: Any, teacher_logits: Any, student_logits: Any) -> dict[str, Any]:
    """Takes the gradient of distillation apart, for one batch.

    Args:
        labels: Integers `[batch, ...]`, or distributions `[batch, ..., classes]`.
        teacher_logits: `[batch, ..., classes]`.
        student_logits: `[batch, ..., classes]`.

    Returns:
        For each sample, arrays `[batch, ...]`:

        - `true_class_gradient`: q - p at the true class, the summand of eq. 8;
        - `dark_knowledge_gradient`: the sum of |q - p| over the other classes;
        - `true_class_square`, `dark_knowledge_square`: the squared lengths of the two parts;
        - `weight`: the teacher's maximum over the sum of these in the batch (CWTM, eq. 10);
        - `teacher_confidence`: that maximum;
        - `teacher_agreement`: 1.0 where both predict the same class;
        - `kl_divergence`: of the student from the teacher, in nats.

    Raises:
        InputError: The logits have different shapes.
    """
    shapes = [tuple(np.shape(logits)) for logits in (teacher_logits, student_logits)]
    known = [{*sizes} - {None} for sizes in zip(*shapes, strict=False)]
    if len(shapes[0]) != len(shapes[1]) or any(len(sizes) > 1 for sizes in known):
        raise InputError(
            "`teacher_logits` and `student_logits` must have one shape. "
            f"Received: {shapes[0]} and {shapes[1]}"
        )
    teacher_logs = ops.log_softmax(teacher_logits, axis=-1)
    student_logs = ops.log_softmax(ops.cast(student_logits, teacher_logs.dtype), axis=-1)
    teacher, student = ops.exp(teacher_logs), ops.exp(student_logs)
    true = distribution(labels, teacher)
    gradient = student - teacher
    dark = gradient * (1.0 - true)
    true_gradient = ops.sum(gradient * true, axis=-1)
    confidence = ops.max(teacher, axis=-1)
    agree = ops.argmax(teacher_logs, axis=-1) == ops.argmax(student_logs, axis=-1)
    return {
        "true_class_gradient": true_gradient,
        "dark_knowledge_gradient": ops.sum(ops.abs(dark), axis=-1),
        "true_class_square": ops.square(true_gradient),
        "dark_knowledge_square": ops.sum(ops.square(dark), axis=-1),
        "weight": confidence / ops.sum(confidence),
        "teacher_confidence": confidence,
        "teacher_agreement": ops.cast(agree, teacher_logs.dtype),
        "kl_divergence": ops.sum(teacher * (teacher_logs - student_logs), axis=-1),
    }


def summarize(batches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Puts what `decompose` found in several batches into one row.

    Args:
        batches: What it returned for each.

    Returns:
        Means over all samples of the gradients, the confidence, the agreement and the divergence;
        `true_class_share` and `dark_knowledge_share`, their parts of the summed squared length of
        the gradient; `weight_entropy`, that of the weights of a batch divided by its largest value
        log(batch), averaged over batches; and counts in `BINS` equal bins over `RANGES` of the
        confidences and of the weights times the size of the batch.

    Raises:
        InputError: There is no batch.
    """
    if not batches:
        raise InputError("`batches` is empty; give what `decompose` found in one at least.")
    batches = [
        {name: np.float64(ops.convert_to_numpy(values)).ravel() for name, values in batch.items()}
        for batch in batches
    ]
    every = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    true, dark = every["true_class_square"].sum(), every["dark_knowledge_square"].sum()
    whole = (true + dark) or 1.0
    relative = np.concatenate([batch["weight"] * batch["weight"].size for batch in batches])
    means = (
        *("true_class_gradient", "dark_knowledge_gradient", "teacher_confidence"),
        *("teacher_agreement", "kl_divergence"),
    )
    return {
        **{name: float(every[name].mean()) for name in means},
        "true_class_share": float(true / whole),
        "dark_knowledge_share": float(dark / whole),
        "weight_entropy": float(np.mean([_entropy(batch["weight"]) for batch in batches])),
        "teacher_confidence_histogram": _histogram(
            every["teacher_confidence"], "teacher_confidence_histogram"
        ),
        "weight_histogram": _histogram(relative, "weight_histogram"),
    }


def _entropy(weights: np.ndarray) -> float:
    if weights.size == 1:
        return 1.0
    return float(-np.sum(weights * np.log(weights)) / np.log(weights.size))


def _histogram(values: np.ndarray, name: str) -> list[int]:
    low, high = RANGES[name]
    counts, _ = np.histogram(np.clip(values, low, high), BINS, (low, high))
    return counts.tolist()


class Analysis(keras.callbacks.Callback):
    """Decomposes the gradient on the same batches after each epoch of a `BornAgainModel`.

    Example:
        ```python
        analysis = ban_tf.analysis.Analysis([(x[:500], y[:500])])
        student.fit(x, y, epochs=30, callbacks=[analysis])
        print(analysis.rows[-1]["dark_knowledge_share"])
        ```

    Args:
        batches: (inputs, labels) pairs that can be gone through again and again.
        file: Where to keep the rows, as JSON; a resumed training appends to them.
        log_directory: Where to write TensorBoard's scalars and histograms.

    Attributes:
        rows: One dictionary for each epoch: its number from 1 on, and what `summarize` returns.
    """

    def __init__(
        self,
        batches: Iterable[tuple[Any, Any]],
        file: str | pathlib.Path | None = None,
        log_directory: str | pathlib.Path | None = None,
    ):
        super().__init__()
        self._batches = batches
        self._file = None if file is None else pathlib.Path(file)
        self._log_directory = log_directory
        self.rows: list[dict[str, Any]] = []
        if self._file is not None and os.path.lexists(self._file):
            self.rows = read(self._file)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Prepares to ask teacher and student; without a teacher there is nothing to do."""
        self._measure = None
        if getattr(self.model, "teacher", None) is None:
            return
        self._measure = self._look
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # Without AutoGraph, as in `fit`: converting all of Keras takes seconds.
            self._measure = tf.function(self._look, autograph=False)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds a row."""
        if self._measure is None:
            return
        found = summarize([self._measure(*batch[:2]) for batch in self._batches])
        self.rows = [row for row in self.rows if row["epoch"] <= epoch]
        self.rows.append({"epoch": epoch + 1, **found})
        if self._file is not None:
            with convert_os_errors(self._file):
                write_atomically(self._file, json.dumps(self.rows).encode())
        if self._log_directory is not None:
            write_tensorboard(self._log_directory, self.rows)

    def _look(self, inputs: Any, labels: Any) -> dict[str, Any]:
        labels, given = self.model.teacher.split(inputs, labels)
        y_pred = self.model.student(inputs, training=False)
        if not given or len(keras.tree.flatten(y_pred)) > 1:
            raise InputError("An analysis needs an online teacher, and a student with one output.")
        students = self.model.learning_outputs(inputs, y_pred)
        teacher_logits = matching.signals(
            self.model.teacher, given, students, list(students), self.model.student
        )
        ((name, student),) = students.items()
        return decompose(labels, teacher_logits[name], student.logits)


_HISTOGRAM = {
    "type": "array",
    "minItems": BINS,
    "maxItems": BINS,
    "items": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
}
_ROW = {
    "type": "object",
    "properties": {
        "epoch": {"type": "integer", "minimum": 1, "maximum": 1_000_000_000},
        **dict.fromkeys(RANGES, _HISTOGRAM),
    },
    "required": ["epoch", *RANGES, *QUANTITIES, "weight_entropy"],
    "additionalProperties": {"type": "real"},
}
_SCHEMA = {"type": "array", "minItems": 1, "maxItems": 100_000, "items": _ROW}


def read(file: pathlib.Path, root: pathlib.Path | None = None) -> list[dict[str, Any]]:
    """Reads the rows that an analysis has kept.

    Args:
        file: The file.
        root: The folder that no symbolic link to the file may leave, if any.

    Raises:
        InputError: The file is not one of them.
    """
    try:
        return json_schema.read(safe_files.read_below(file, root), _SCHEMA, file)
    except (OSError, CorruptFileError) as error:
        reason = (
            f"{file} cannot be read ({error.strerror})." if isinstance(error, OSError) else error
        )
        raise InputError(
            f"{str(reason).removesuffix('.')}; delete it to continue without."
        ) from error


def write_tensorboard(directory: str | pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as scalars and histograms, in place of what was there before.

    Args:
        directory: Of these events alone.
        rows: As `Analysis.rows`.
    """
    directory = pathlib.Path(directory)
    with convert_os_errors(directory):
        writer = event_files.Writer(directory)
        for row in rows:
            for name, value in row.items():
                tag, step = f"analysis/{name}", row["epoch"]
                if name in RANGES:
                    writer.histogram(tag, _midpoints(name, value), step)
                elif name != "epoch":
                    writer.scalar(tag, value, step)
        writer.close()


def _midpoints(name: str, counts: Sequence[int]) -> np.ndarray:
    """As many values in the middle of each bin as were counted there."""
    edges = np.linspace(*RANGES[name], BINS + 1)
    return np.repeat((edges[:-1] + edges[1:]) / 2, counts)
