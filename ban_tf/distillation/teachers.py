"""Online and precomputed teacher outputs.

A teacher is never part of its student. It is held behind a plain object, which Keras does
not search for layers, so that its weights are neither trained nor saved nor counted with the
student's. It always runs in inference mode, and outside the gradient tape.
"""

from __future__ import annotations

import pathlib
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import keras
from keras import ops

from ban_tf.compat import outputs, saved_networks
from ban_tf.compat.loss_kinds import VALUES
from ban_tf.compat.output_evidence import collect
from ban_tf.compat.output_kinds import (
    ACTIVATIONS,
    Evidence,
    check_declared,
    resolve,
    teacher_meaning,
)
from ban_tf.compat.preparation import Inputs
from ban_tf.distillation import runtimes
from ban_tf.distillation.distillation_losses import with_features
from ban_tf.distillation.function_teachers import FunctionTeacher, MixedTeacher
from ban_tf.distillation.means import mean_logits, mean_values
from ban_tf.distillation.recorded_teacher import RecordedTeacher
from ban_tf.distillation.recorded_teacher import is_recorded as is_recorded
from ban_tf.distillation.recorded_teacher import recorded_signal as recorded_signal
from ban_tf.distillation.teacher_names import SCHEME
from ban_tf.errors import InputError
from ban_tf.system import shown
from ban_tf.system.arguments import is_number


class Output(Protocol):
    """What a teacher needs to know about the student's output."""

    @property
    def kind(self) -> str:
        """One of "categorical", "binary" and "values"."""

    @property
    def units(self) -> int | None:
        """Entries of the output's last axis."""

    @property
    def end(self) -> str | None:
        """The student's last activation, or None if unknown."""

    @property
    def logits(self) -> Any:
        """As from `outputs.to_logits`."""


class Teacher(Protocol):
    """Returns the teacher outputs of a batch."""

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any] | None]:
        """Returns the batch's own labels, and what the teacher gives by output (or None)."""
        ...

    def signal(self, given: Any, name: str, student: Output) -> Any:
        """Returns the numbers to match, of the shape of `student.logits`.

        Args:
            given: What `split` returned for the output.
            name: The teacher's own name of the output.
            student: The student's output.
        """
        ...


class OnlineTeacher:
    """One or several models that are run on each batch.

    Several teachers count as one whose distribution is the mean of theirs (You et al., 2017), unit
    by unit for binary outputs; of values, the mean counts.

    Args:
        models: Built Keras models whose outputs have the same names and shapes.
        activation: "linear", "softmax" or "sigmoid" where detection would err, or a dictionary of
            these by output; None detects it for every output of every model.
        paths: The files that the models were read from, if they were.
        weights: How much each model counts in the mean: positive numbers, of which the shares
            count. None if all count alike.

    Raises:
        InputError: `models` is no list of models, or empty.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        activation: Any = None,
        paths: Sequence[str] = (),
        weights: Sequence[float] | None = None,
    ):
        listed = isinstance(models, (list, tuple))
        if not listed or not all(isinstance(model, keras.Model) for model in models):
            raise InputError(f"`models` must be a list of Keras models. Received: {models!r}")
        if not models:
            raise InputError("`teacher` is an empty list; give at least one model.")
        self.models = list(models)
        self.paths = list(paths)
        self.weights = None if weights is None else list(weights)
        self.activation = activation
        self._evidence: list[dict[str, Evidence]] = [{} for _ in self.models]  # of the last call
        self._lookouts: dict[tuple[str, ...], keras.Model] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Returns the state of a copy: all but the evidence of the last call."""
        return {**vars(self), "_evidence": [{} for _ in self.models], "_lookouts": {}}

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, list[Any]]]:
        """Returns the labels unchanged, and by output name the outputs of each model."""
        given = [
            model(_inputs_of(index, inputs), training=False)
            for index, model in enumerate(self.models)
        ]
        return labels, self._ask(inputs, given)

    def signal(self, given: Sequence[Any], name: str, student: Output) -> Any:
        """Returns the teachers' joint numbers to match; see `Teacher.signal`."""
        joint = []
        for evidence, output in zip(self._evidence, given, strict=True):
            kind, activation = teacher_meaning(
                student.kind, student.units, evidence[name], student.end
            )
            joint.append(ops.stop_gradient(outputs.to_logits(output, activation, kind)))
        for one in joint[1:]:  # before they are averaged; the student compares a single one
            if one.shape[-1] != joint[0].shape[-1]:
                raise InputError(
                    f"`teacher` lists models of {joint[0].shape[-1]} and of {one.shape[-1]} "
                    "classes; ban_tf.MappedTeacher maps those of each to the student's."
                )
        mean = mean_values if student.kind == VALUES else mean_logits
        return mean(joint, self.weights)

    def logits(self, inputs: Any, kind: str | None = None) -> dict[str, Any]:
        """Returns the joint numbers by output, of each output's own kind where no student is.

        Args:
            inputs: A batch.
            kind: The kind of all outputs: "categorical", "binary" (whose numbers are logits of no
                and yes) or "values"; None finds it out.

        Raises:
            InputError: What an output means is not known.
        """
        _, given = self.split(inputs, None)
        joint = {}
        for name, evidence in self._evidence[0].items():
            own = _Own(kind or resolve(evidence).kind, evidence.units)
            joint[name] = self.signal(given[name], name, own)
        return joint

    def compiled_kinds(self) -> dict[str, str | None]:
        """Returns the kind of each output of the first model by its compiled losses, or None."""
        evidence = self._evidence_of(self.models[0], None)
        kinds = {
            name: {loss.kind for loss in clues.losses if loss.kind is not None}
            for name, clues in evidence.items()
        }
        return {name: found.pop() if len(found) == 1 else None for name, found in kinds.items()}

    def observe(self, inputs: Any, layers: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the outputs of a single teacher, and its features from the same pass.

        Args:
            inputs: What the model takes.
            layers: Names of layers to see the outputs of.

        Returns:
            What `split` returns by output; and a dictionary of the "outputs" as they came, and the
            "features" by layer name.
        """
        inputs = _inputs_of(0, inputs)
        if not layers:
            output = self.models[0](inputs, training=False)
            return self._ask(inputs, [output]), {"outputs": _constant(output), "features": {}}
        key = tuple(layers)
        if key not in self._lookouts:
            self._lookouts[key] = with_features(self.models[0], key, "teacher")
        seen = self._lookouts[key](inputs, training=False)
        return self._ask(inputs, [seen["outputs"]]), _constant(seen)

    def _ask(self, inputs: Any, given: Sequence[Any]) -> dict[str, list[Any]]:
        """Returns the outputs of each model by name, and records the evidence for their kinds."""
        joint: dict[str, list[Any]] = {}
        for index, (model, output) in enumerate(zip(self.models, given, strict=True)):
            by_name = outputs.named(output, outputs.output_names(model))
            check_declared("teacher_activation", self.activation, ACTIVATIONS, list(by_name))
            evidence = self._evidence_of(model, (_inputs_of(index, inputs), by_name))
            if joint:
                counted = outputs.counted_names(self.models[0], model)
                by_name, evidence = (
                    outputs.aligned(found, list(joint), counted) for found in (by_name, evidence)
                )
            self._evidence[index] = evidence
            for name, tensor in by_name.items():
                joint.setdefault(name, []).append(tensor)
        return joint

    def _evidence_of(self, model: keras.Model, called: Any) -> dict[str, Evidence]:
        loss = getattr(model, "loss", None)
        return collect(model, "teacher", loss=loss, activation=self.activation, called=called)


def _inputs_of(number: int, inputs: Any) -> Any:
    return inputs.of(number) if isinstance(inputs, Inputs) else inputs


class _Own(NamedTuple):
    """A student's output that is like the teacher's."""

    kind: str
    units: int | None
    end: str | None = None
    logits: Any = None


class AbsentTeacher:
    """Replaces the teacher of a loaded model that was saved without it.

    Args:
        saved: What `teacher_files.reference` returned of it.
    """

    def __init__(self, saved: Any = "absent"):
        self.saved = saved
        listed = [saved] if isinstance(saved, str) else split_weights(saved)[0]
        self.paths = [] if saved == "absent" else listed

    def split(self, inputs: Any, labels: Any) -> tuple[Any, dict[str, Any] | None]:
        """Raises an error that asks for the teacher.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "This model was saved without its teacher"
            + (f", which was {', '.join(self.paths)}" if self.paths else "")
            + "; set `teacher` to a model before training it on, or to None to continue with "
            "labels alone."
        )


def _constant(structure: Any) -> Any:
    return keras.tree.map_structure(ops.stop_gradient, structure)


def load_model(path: str | pathlib.Path) -> keras.Model:
    """Loads a `.keras` file with Keras's safe mode on.

    Without TensorFlow, of a model that takes text only the network within; see `saved_networks`.

    Raises:
        InputError: The file is missing, is no Keras model, or needs code that Keras
            refuses to run unasked (a Lambda layer).
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise InputError(f"`teacher` names a folder that holds no SavedModel: {path}.")
    if not path.is_file():
        raise InputError(f"`teacher` names a file that does not exist: {path}.")
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not a Keras model: a .keras file is a zip archive.")
    try:
        with warnings.catch_warnings():  # of an optimizer, which a teacher does not need
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
            return saved_networks.load(path)
    except Exception as error:
        if "lambda" in str(error).lower():
            raise InputError(
                f"{path} holds a Lambda layer, which could run any code, and is not loaded; if you "
                "trust it, load it yourself with keras.models.load_model(path, safe_mode=False) "
                "and pass the model."
            ) from error
        raise InputError(
            f"{path} could not be read as a Keras model: {shown.first_line(error)}"
        ) from error


def as_teacher(teacher: Any, activation: Any = None) -> Teacher | None:
    """Returns the teacher that the argument `teacher` describes.

    Args:
        teacher: None; a Keras model, a path to a `.keras` file (or one of another runtime, see
            `runtimes.load`), a function of a NumPy batch, "recording:PATH", or a `Teacher`; a list
            of these (averaged), or a list of pairs of these and a weight in the average.
        activation: See `OnlineTeacher`.

    Raises:
        InputError: It is none of these.
    """
    if teacher is None or _is_teacher(teacher):
        return teacher
    listed = isinstance(teacher, (list, tuple))
    several, weights = split_weights(list(teacher) if listed else [teacher])
    paths = [str(given) for given in several if isinstance(given, (str, pathlib.Path))]
    found = [read(given) for given in several]
    if all(isinstance(model, keras.Model) for model in found):
        return OnlineTeacher(found, activation, paths if len(paths) == len(found) else (), weights)
    outputs = _OUTPUTS.get(activation) if isinstance(activation, str) else None
    joint = [
        OnlineTeacher([one], activation)
        if isinstance(one, keras.Model)
        else one
        if _is_teacher(one)
        else FunctionTeacher(one, outputs)
        for one in found
    ]
    return MixedTeacher(joint, weights) if len(joint) > 1 else joint[0]


_OUTPUTS = {"linear": "logits", "softmax": "probabilities"}


def _is_teacher(given: Any) -> bool:
    return hasattr(given, "split") and not isinstance(given, (str, type))


def read(given: Any) -> Any:
    """Returns a model, a function or a teacher, read if it is the name of one.

    Args:
        given: As for `as_teacher`, but no list.

    Raises:
        InputError: It is none of these, or cannot be read.
    """
    if isinstance(given, str) and given.startswith(SCHEME):
        return RecordedTeacher(given)
    if isinstance(given, (str, pathlib.Path)):
        return runtimes.load(given) or load_model(given)
    # A `BornAgainModel` teaches by the student that it trains.
    student = getattr(given, "student", None)
    given = student if isinstance(student, keras.Model) else given
    if not isinstance(given, type) and (_is_teacher(given) or callable(given)):
        return given
    raise InputError(
        "`teacher` must be a Keras model, a path to a .keras file, a function of a NumPy batch, a "
        "list of these, each alone or as a pair (model, weight), or a RecordedTeacher. "
        f"Received: {given!r}"
    )


def parts_of(teacher: Any) -> list[Any]:
    """Returns the teachers that one consists of, or that a map of classes is laid around."""
    parts = getattr(teacher, "teachers", None)
    if parts is None:
        inner = getattr(teacher, "teacher", None)
        return [teacher] if inner is None else parts_of(inner)
    return [inner for part in parts for inner in parts_of(part)]


def looks_up(teacher: Any) -> bool:
    """Returns whether any part of a teacher finds its outputs in a recording by the inputs."""
    return any(getattr(part, "recorded", None) is not None for part in parts_of(teacher))


def split_weights(teachers: list[Any]) -> tuple[list[Any], list[float] | None]:
    """Returns teachers without their weights, and the weights, or None if none has any.

    Raises:
        InputError: Some have weights and others none, or a weight is not positive.
    """
    pairs = [isinstance(teacher, (list, tuple)) and len(teacher) == 2 for teacher in teachers]
    if not any(pairs):
        return teachers, None
    if not all(pairs):
        raise InputError(
            "`teacher` gives weights to some of its models and none to others; give each as a pair "
            "(model, weight), or all alone."
        )
    for _, weight in teachers:
        if not is_number(weight) or not 0 < weight < float("inf"):
            raise InputError(
                f"`teacher` must give its models positive, finite weights. Received: {weight!r}"
            )
    return [model for model, _ in teachers], [float(weight) for _, weight in teachers]
