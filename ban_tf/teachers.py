"""Where the teacher's outputs come from: asked while training, or recorded beforehand.

A teacher is never part of its student. It is held behind a plain object, which Keras does
not search for layers, so that its weights are neither trained nor saved nor counted with the
student's. It always runs in inference mode, and outside the gradient tape.
"""

from __future__ import annotations

import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any, Protocol

import keras
from keras import ops

from ban_tf import outputs
from ban_tf.copies import first_line
from ban_tf.distillation_losses import with_features


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
        paths: The files that the models were read from, if they were.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        activation: str | None = None,
        paths: Sequence[str] = (),
    ):
        if not models:
            raise ValueError("`teacher` is an empty list; give at least one model.")
        self.models = list(models)
        self.paths = list(paths)
        self.activation = activation
        self._activations = [outputs.final_activations(model) for model in self.models]
        self._lookouts: dict[tuple[str, ...], keras.Model] = {}

    def logits(self, inputs: Any) -> dict[str, Any]:
        """Returns the teachers' joint logits `[batch, ..., classes]` for every output by name."""
        opinions = [
            self._as_logits(index, model(inputs, training=False))
            for index, model in enumerate(self.models)
        ]
        if len(opinions) == 1:
            return opinions[0]
        opinions = [outputs.aligned(each, list(opinions[0])) for each in opinions]
        return {name: mean_logits([each[name] for each in opinions]) for name in opinions[0]}

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any] | None]:
        """Returns the labels as they came, and the teachers' logits for the inputs."""
        return labels, _constant(self.logits(inputs))

    def observe(self, inputs: Any, layers: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Asks a single teacher, and looks into it in the same pass.

        Args:
            inputs: What the model takes.
            layers: Names of layers to see the outputs of.

        Returns:
            The logits by output; and a dictionary of the "outputs" as they came, the "logits" in
            the same structure, and the "features" by layer name.
        """
        key = tuple(layers)
        if not key:  # any model will do, a subclass too
            seen = {"outputs": self.models[0](inputs, training=False), "features": {}}
        else:
            if key not in self._lookouts:
                self._lookouts[key] = with_features(self.models[0], key, "teacher")
            seen = self._lookouts[key](inputs, training=False)
        logits = _constant(self._as_logits(0, seen["outputs"]))
        structured = outputs.structured_like(seen["outputs"], logits)
        return logits, {**_constant(seen), "logits": structured}

    def _as_logits(self, index: int, raw: Any) -> dict[str, Any]:
        model, activations = self.models[index], self._activations[index]
        return {
            name: outputs.to_logits(output, self.activation or activations.get(name, "linear"))
            for name, output in outputs.named(raw, outputs.output_names(model)).items()
        }


def is_recorded(labels: Any) -> bool:
    """Tells whether labels come with a teacher's recorded outputs."""
    return isinstance(labels, dict) and set(labels) == {"labels", "teacher_logits"}


class RecordedTeacher:
    """A teacher whose outputs were computed beforehand and come along with the labels.

    Batches then have the form `(x, {"labels": y, "teacher_logits": t})`, where `t` is
    `[batch, ..., classes]`, or a dictionary of such arrays by output name. Validation data may
    have plain labels: it simply has no teacher signal.
    """

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any] | None]:
        """Takes the recorded logits out of the batch's labels."""
        if is_recorded(labels):
            recorded = outputs.named(labels["teacher_logits"])
            return labels["labels"], {
                name: outputs.to_logits(each, "linear") for name, each in recorded.items()
            }
        return labels, None


class AbsentTeacher:
    """Stands where a saved model had a teacher that was not saved with it.

    Args:
        paths: Where the teacher was, if it was given as files, which are gone.
    """

    def __init__(self, paths: Sequence[str] = ()):
        self.paths = list(paths)

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any] | None]:
        """Asks for the teacher.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "This model was saved without its teacher"
            + (f", which was {', '.join(self.paths)}" if self.paths else "")
            + "; set `teacher` to a model before training it on, or to None to go on with labels "
            "alone."
        )


def _constant(structure: Any) -> Any:
    return keras.tree.map_structure(ops.stop_gradient, structure)


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
        ValueError: The file is missing, is no Keras model, or needs code that Keras
            refuses to run unasked (a Lambda layer).
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"`teacher` names a file that does not exist: {path}.")
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a Keras model: a .keras file is a zip archive.")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        if "lambda" in str(error).lower():
            raise ValueError(
                f"{path} holds a Lambda layer, which could run any code, and is not loaded; if you "
                "trust it, load it yourself with keras.models.load_model(path, safe_mode=False) "
                "and pass the model."
            ) from error
        raise ValueError(
            f"{path} could not be read as a Keras model: {first_line(error)}"
        ) from error


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
    paths = [str(each) for each in several if isinstance(each, (str, pathlib.Path))]
    models = [
        load_model(each) if isinstance(each, (str, pathlib.Path)) else each for each in several
    ]
    # A model in training with a teacher of its own counts as the student that it trains.
    models = [
        model.student if isinstance(getattr(model, "student", None), keras.Model) else model
        for model in models
    ]
    for model in models:
        if not isinstance(model, keras.Model):
            raise ValueError(
                "`teacher` must be a Keras model, a path to a .keras file, a list of these, or a "
                f"RecordedTeacher. Received: {model!r}"
            )
    return OnlineTeacher(models, activation, paths if len(paths) == len(models) else ())


def reference(teacher: Teacher | None) -> str | list[str] | None:
    """Returns what a saved student remembers of its teacher, for `from_reference`.

    Returns:
        None without a teacher; "recorded"; the paths of a teacher that was read from files; or
        "absent" for a model, which is saved apart from its student.
    """
    if teacher is None:
        return None
    if isinstance(teacher, RecordedTeacher):
        return "recorded"
    return getattr(teacher, "paths", None) or "absent"


def from_reference(saved: str | list[str] | None) -> Any:
    """Returns the teacher that `reference` describes, as `as_teacher` takes it.

    A student is of use without its teacher: one that cannot be had is missed when training.
    """
    if saved is None:
        return None
    if saved == "recorded":
        return RecordedTeacher()
    if saved == "absent" or not all(pathlib.Path(path).is_file() for path in saved):
        return AbsentTeacher([] if saved == "absent" else saved)
    return list(saved)


def write(teacher: Teacher | None, folder: str | pathlib.Path) -> None:
    """Saves a teacher's models in a folder, for `read`."""
    for index, model in enumerate(getattr(teacher, "models", [])):
        model.save(pathlib.Path(folder) / f"teacher-{index}.keras")


def read(folder: str | pathlib.Path) -> list[keras.Model]:
    """Loads the models that `write` saved; an empty list if there are none."""
    found = sorted(pathlib.Path(folder).glob("teacher-*.keras"), key=lambda path: len(path.name))
    return [load_model(path) for path in found]
