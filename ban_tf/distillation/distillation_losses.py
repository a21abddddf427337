"""`keras.distillation.DistillationLoss` objects as further terms beside an objective.

`keras.distillation.Distiller` runs the student a second time to see its intermediate layers,
and in training mode even to evaluate it. Here each model runs once: a layer's output is taken
from the very pass that gives the predictions. What is kept from that pass lives only while a
step is traced.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from ban_tf.compat import distribute, keras_private, nested_graphs
from ban_tf.distillation import feature_layers, projections
from ban_tf.distillation.features import FeatureLoss
from ban_tf.errors import InputError

# Of the step that is being traced; replicas are traced in threads of their own.
_step = threading.local()


def pairs(distillation_losses: Any) -> list[tuple[keras.distillation.DistillationLoss, float]]:
    """Returns distillation losses with their weights.

    Args:
        distillation_losses: None, a `DistillationLoss`, or a list whose entries are either such a
            loss or a pair of a loss and its weight; a loss alone has weight 1.

    Raises:
        InputError: An entry is none of these, or a weight is negative or not finite.
    """
    if distillation_losses is None:
        return []
    if not isinstance(distillation_losses, (list, tuple)):
        distillation_losses = [distillation_losses]
    found = []
    for entry in distillation_losses:
        loss, weight = entry if isinstance(entry, (list, tuple)) and len(entry) == 2 else (entry, 1)
        if not isinstance(loss, keras.distillation.DistillationLoss):
            raise InputError(
                "`distillation_losses` must be keras.distillation.DistillationLoss objects, each "
                f"alone or as a pair (loss, weight). Received: {entry!r}"
            )
        if not isinstance(weight, (int, float)) or not 0 <= weight < float("inf"):
            raise InputError(
                "`distillation_losses` must have finite weights of at least 0. Received: "
                f"{weight!r} for {type(loss).__name__}"
            )
        _warn_of_raw_divergence(loss)
        found.append((loss, float(weight)))
    return found


class DistillationTerms:
    """The weighted sum of distillation losses.

    Args:
        terms: As `pairs` returns them.
        student: The model that learns.
    """

    def __init__(
        self, terms: Sequence[tuple[keras.distillation.DistillationLoss, float]], student: Any
    ):
        self.terms = list(terms)
        self._note_layers()
        # Not before there is a teacher: generation 0 may be of another kind than its students.
        self._student: keras.Model | None = None
        self._saved: list[Any] = []
        self._others = [student]  # models whose weights are not these losses'

    def _note_layers(self) -> None:
        """Notes the layers of each loss: other models may have others where losses are shared."""
        self._pairs = [
            (getattr(loss, "teacher_layer_name", None), getattr(loss, "student_layer_name", None))
            for loss, _ in self.terms
        ]
        self.teacher_layers = _names(theirs for theirs, _ in self._pairs)

    @property
    def look_at_logits(self) -> bool:
        """Whether a loss takes logits, for any last activation of the models."""
        return any(
            isinstance(loss, keras.distillation.LogitsDistillation) for loss, _ in self.terms
        )

    def check(self, teacher: Any, student: keras.Model) -> None:
        """Lets each loss say whether the models suit it.

        Raises:
            InputError: One does not, or there is no single model to look into.
        """
        models = getattr(teacher, "models", None) if hasattr(teacher, "observe") else None
        if not models or len(models) > 1:
            raise InputError(
                "`distillation_losses` look into one teacher while it works; `teacher` must be a "
                f"single Keras model. Received: {'several models' if models else teacher!r}"
            )
        named = [
            getattr(loss, "student_layer_name", None)
            for loss, _ in self.terms
            if not isinstance(loss, FeatureLoss)  # which names its layers when it sees the models
        ]
        if any(named):
            with_features(student, _names(named), "student")  # or says what is wrong
        for loss, _ in self.terms:
            loss.validate_model_compatibility(models[0], student)
        self._note_layers()
        names = _names(ours for _, ours in self._pairs)
        self._student = with_features(student, names, "student") if names else None
        for loss, _ in self.terms:
            seen = (
                _symbolic(models[0], getattr(loss, "teacher_layer_name", None), "teacher"),
                _symbolic(student, getattr(loss, "student_layer_name", None), "student"),
            )
            _check_shapes(loss, *seen)
            projections.build(loss, *seen)
        self._others = [student, *models]
        self.restore(self._saved)

    @property
    def awaits_teacher(self) -> bool:
        """Whether there are saved weights of layers that are built with the teacher."""
        return bool(self._saved)

    def variables(self, kind: str) -> list[Any]:
        """Returns what of the losses is trained with the student; see `projections.collect`."""
        return projections.collect([loss for loss, _ in self.terms], kind, self._others)

    def weights_to_save(self) -> list[Any]:
        """Returns the weights; before the teacher is there, those that wait for it."""
        return self._saved or self.variables("weights")

    def restore(self, saved: list[Any]) -> None:
        """Gives the layers of the losses saved weights, as soon as they are built.

        Args:
            saved: An array for each of `variables("weights")`.
        """
        weights = self.variables("weights")
        if len(weights) != len(saved):
            self._saved = saved
            return
        self._saved = []
        for variable, value in zip(weights, saved, strict=True):
            variable.assign(value)

    @contextlib.contextmanager
    def observing(self) -> Iterator[None]:
        """Keeps the features of the student's pass until the step is over."""
        _step.features = {}
        try:
            yield
        finally:
            _step.features = None

    def call_student(self, student: keras.Model, inputs: Any, training: bool | None) -> Any:
        """Returns the student's outputs; within `observing`, remembers its features."""
        if getattr(_step, "features", None) is None or self._student is None:
            return student(inputs, training=training)
        seen = self._student(inputs, training=training)
        _step.features = seen["features"]
        return seen["outputs"]

    def total(
        self, teacher: dict[str, Any], student: dict[str, Any], weighted: bool, size: Any
    ) -> Any:
        """Returns the weighted sum of the losses, a scalar.

        Args:
            teacher: Its "outputs" as they came, its "logits" in the same structure, and its
                "features" by layer name.
            student: "outputs" and "logits" of the student, likewise.
            weighted: Whether there are sample weights or masks, which Keras shows none of its
                distillation losses.
            size: How many examples there are.

        Returns:
            Of several replicas, this one's part.
        """
        if weighted:
            warnings.warn(
                "Sample weights and masks count for the labels and the objective, but not for "
                "`distillation_losses`: Keras gives these none.",
                stacklevel=2,
            )
        features = getattr(_step, "features", None)
        if features is None and self._student is not None:
            raise InputError(
                "`distillation_losses` name layers of the student, whose outputs are only kept "
                "within `fit`, `evaluate`, `train_on_batch` and `test_on_batch`; in a loop of your "
                "own, call one of the latter two."
            )
        student = {**student, "features": features}
        total = 0.0
        for (loss, weight), (their_layer, our_layer) in zip(self.terms, self._pairs, strict=True):
            theirs = _shown_to(loss, teacher, their_layer)
            ours = _shown_to(loss, student, our_layer)
            theirs = keras.tree.map_structure(_like, theirs, ours)
            loss.validate_outputs(theirs, ours)
            value = ops.cast(loss.compute_loss(theirs, ours), "float32")
            if len(value.shape):
                raise InputError(
                    f"`distillation_losses`: {type(loss).__name__}.compute_loss must return a "
                    f"scalar. Received shape: {tuple(value.shape)}"
                )
            # What Keras's Loss objects reduce is divided by the replicas already.
            replicas = distribute.replica_count() if _is_scaled(loss) else 1
            total = total + distribute.scale_to_global_mean(weight * replicas * value, size)
        return total


def with_features(model: keras.Model, names: Sequence[str], role: str) -> keras.Model:
    """Returns a model of the same layers that also gives the outputs of some of them.

    Args:
        model: A Functional or Sequential model.
        names: Names of layers.
        role: "teacher" or "student", for messages.

    Returns:
        A model with outputs `{"outputs": the model's own, "features": by layer name}`.

    Raises:
        InputError: The model cannot be looked into, or a layer is not in it or used twice.
    """
    try:
        inputs, outputs, features = feature_layers.outputs_of(model, names, role)
    except InputError as error:
        raise InputError(f"`distillation_losses`: {error}") from error
    with nested_graphs.distinct_names(model):
        return keras.Model(inputs, {"outputs": outputs, "features": features})


def _symbolic(model: keras.Model, layer: str | None, role: str) -> Any:
    """Returns a layer's or the model's outputs as symbolic tensors; None if it has no graph."""
    if layer is not None:
        return feature_layers.outputs_of(model, [layer], role)[2][layer]
    if isinstance(model, keras.Sequential):
        return model.outputs[0] if model.built and model.outputs else None
    return keras_private.output_structure(model)


def _check_shapes(loss: Any, theirs: Any, ours: Any) -> None:
    """Checks that Keras's own losses, which compare number by number, get features of one shape.

    Raises:
        InputError: The shapes differ; Keras's message would come from inside the first step.
    """
    if not isinstance(loss, keras.distillation.FeatureDistillation) or None in (theirs, ours):
        return
    functions = keras.tree.flatten(loss.loss)
    pairs = list(zip(keras.tree.flatten(theirs), keras.tree.flatten(ours), strict=False))
    for function, (their, our) in zip(functions, pairs, strict=False):
        both = tuple(their.shape), tuple(our.shape)
        if keras_private.is_of_keras(function, "losses") and not _compatible(*both):
            raise InputError(
                f"`distillation_losses`: FeatureDistillation compares features of one shape, but "
                f"{loss.teacher_layer_name or 'the teacher'} gives {both[0]} and "
                f"{loss.student_layer_name or 'the student'} gives {both[1]}; "
                "ban_tf.features.FeatureLoss projects one to the other."
            )


def _compatible(one: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    """Whether two shapes may broadcast against each other."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return all(a == b or None in (a, b) or 1 in (a, b) for a, b in pairs)


def _names(names: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name is not None))


def _shown_to(loss: Any, seen: dict[str, Any], layer: str | None) -> Any:
    if layer is not None:
        return seen["features"][layer]
    # It divides by a temperature what must then be logits, for any last activation.
    logits = isinstance(loss, keras.distillation.LogitsDistillation)
    return seen["logits"] if logits else seen["outputs"]


def _like(theirs: Any, ours: Any) -> Any:
    """The teacher's tensor in the student's precision."""
    return ops.cast(theirs, ours.dtype) if keras.backend.is_float_dtype(ours.dtype) else theirs


def _is_scaled(loss: Any) -> bool:
    inner = [part for part in keras.tree.flatten(getattr(loss, "loss", None)) if part is not None]
    return bool(inner) and all(isinstance(part, keras.losses.Loss) for part in inner)


def _warn_of_raw_divergence(loss: Any) -> None:
    if isinstance(loss, keras.distillation.LogitsDistillation) and any(
        part is keras.losses.kl_divergence for part in keras.tree.flatten(loss.loss)
    ):
        warnings.warn(
            "LogitsDistillation(loss='kl_divergence') takes the divergence of logits, not of "
            "distributions; give loss=keras.losses.KLDivergence(), or objective='kd'.",
            stacklevel=2,
        )
