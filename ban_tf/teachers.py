"""Where the teacher's outputs come from: asked while training, or recorded beforehand.

A teacher is never part of its student. It is held behind a plain object, which Keras does
not search for layers, so that its weights are neither trained nor saved nor counted with the
student's. It always runs in inference mode, and outside the gradient tape.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, Protocol

import keras
from keras import ops

from ban_tf import outputs


class Teacher(Protocol):
    """Gives the teacher signal for a batch."""

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any] | None]:
        """Returns the batch's own labels, and the teacher's logits by output (or None)."""
        ...


class OnlineTeacher:
    """One model or several, asked for their opinion of each batch as it comes.

    Several teachers count as one whose distribution is the mean of theirs (You et al., 2017).

    Args:
        models: Built Keras models whose outputs have the same names and shapes.
        activation: "linear", "softmax" or "sigmoid" where detection would err; None detects
            it for every output of every model.
    """

    def __init__(self, models: Sequence[keras.Model], activation: str | None = None):
        if not models:
            raise ValueError("`teacher` is an empty list; give at least one model.")
        self.models = list(models)
        self.activation = activation
        self._activations = [outputs.final_activations(model) for model in self.models]

    def logits(self, inputs: Any) -> dict[str, Any]:
        """Returns the teachers' joint logits `[batch, ..., classes]` for every output by name."""
        opinions = []
        for model, activations in zip(self.models, self._activations, strict=True):
            raw = outputs.named(model(inputs, training=False), outputs.output_names(model))
            opinions.append(
                {
                    name: outputs.to_logits(
                        output, self.activation or activations.get(name, "linear")
                    )
                    for name, output in raw.items()
                }
            )
        if len(opinions) == 1:
            return opinions[0]
        return {name: mean_logits([each[name] for each in opinions]) for name in opinions[0]}

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any] | None]:
        """Returns the labels as they came, and the teachers' logits for the inputs."""
        logits = self.logits(inputs)
        return labels, {name: ops.stop_gradient(each) for name, each in logits.items()}


class RecordedTeacher:
    """A teacher whose outputs were computed beforehand and come along with the labels.

    Batches then have the form `(x, {"labels": y, "teacher_logits": t})`, where `t` is
    `[batch, ..., classes]`, or a dictionary of such arrays by output name. A batch with
    plain labels (validation data, say) simply has no teacher signal.
    """

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any] | None]:
        """Takes the recorded logits out of the batch's labels."""
        if isinstance(labels, dict) and set(labels) == {"labels", "teacher_logits"}:
            return labels["labels"], outputs.named(labels["teacher_logits"])
        return labels, None


def mean_logits(logits: Sequence[Any]) -> Any:
    """Logits of the mean of several distributions.

    Args:
        logits: Arrays `[batch, ..., classes]`, one for each member.

    Returns:
        `log(mean_k softmax(logits_k))`, `[batch, ..., classes]`: log-probabilities, which
        are logits.
    """
    log_probabilities = ops.stack([ops.log_softmax(each, axis=-1) for each in logits])
    return ops.logsumexp(log_probabilities, axis=0) - ops.log(float(len(logits)))


def load_model(path: str | pathlib.Path) -> keras.Model:
    """Loads a `.keras` file with Keras's safe mode on.

    Raises:
        ValueError: The file is missing, is not a Keras model, or needs code that Keras
            refuses to run unasked (a Lambda layer).
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"`teacher` names a file that does not exist: {path}.")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if "lambda" in str(error).lower():
            raise ValueError(
                f"{path} holds a Lambda layer, which could run any code, and is not loaded; if you "
                "trust it, load it yourself with keras.models.load_model(path, safe_mode=False) "
                "and pass the model."
            ) from error
        raise ValueError(f"{path} could not be read as a Keras model: {first_line}") from error


def as_teacher(teacher: Any, activation: str | None = None) -> Teacher | None:
    """Makes a teacher out of whatever a user may hand over.

    Args:
        teacher: None, a Keras model, a path to a `.keras` file, a list of either (averaged),
            or a `Teacher`.
        activation: See `OnlineTeacher`.

    Raises:
        ValueError: It is none of these.
    """
    if teacher is None or (hasattr(teacher, "split") and not isinstance(teacher, str)):
        return teacher
    several = list(teacher) if isinstance(teacher, (list, tuple)) else [teacher]
    models = [
        load_model(each) if isinstance(each, (str, pathlib.Path)) else each for each in several
    ]
    for model in models:
        if not isinstance(model, keras.Model):
            raise ValueError(
                "`teacher` must be a Keras model, a path to a .keras file, a list of these, or a "
                f"RecordedTeacher. Received: {model!r}"
            )
    return OnlineTeacher(models, activation)
