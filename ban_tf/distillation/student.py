"""`BornAgainModel`: one student learning from one teacher, through `keras.Model.fit`.

What it adds to `keras.Model` is the teacher and nothing else: `taught_model` has the step and the
loss, `student_outputs` what the outputs mean, `saving` the files.

The teacher's weights are nowhere among the student's, and `student.student` is the plain
Keras model that the user gave.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from ban_tf import objectives
from ban_tf.compat import (
    jax_devices,
    keras_private,
    outputs,
    preparation,
    student_code,
    weighting,
)
from ban_tf.compat import model_checks as checks
from ban_tf.compat.keras_distribution import LossMean
from ban_tf.compat.loss_kinds import KINDS
from ban_tf.compat.output_kinds import ACTIVATIONS, check_declared
from ban_tf.distillation import augmentation, data_checks, matching, student_outputs, teachers
from ban_tf.distillation.adjustable import EpochCallback, Schedule, with_first
from ban_tf.distillation.distillation_losses import DistillationTerms, pairs
from ban_tf.distillation.prepared_model import Preparing
from ban_tf.distillation.saving import SavingModel
from ban_tf.errors import InputError
from ban_tf.system.arguments import check_count, check_flag

# Read while a step is traced.
_FLAGS = ("distill_void", "check_data")
_SETTINGS = ("output_kind", "student_activation", "teacher_activation", *_FLAGS)


@keras.saving.register_keras_serializable("ban_tf")
class BornAgainModel(Preparing, SavingModel):
    """Trains a Keras model with a teacher (Furlanello et al., 2018).

    The loss is `label_weight * (compiled loss) + teacher_weight * (objective)` plus the
    student's regularization losses. Without a teacher it is the compiled loss alone, weighted
    by one: generation 0. Every other thing that `fit`, `evaluate` and `predict` do, they do as
    for the student itself: its own `compute_loss` takes the place of the compiled loss, its own
    `compute_metrics`, `metrics`, `compile` and `predict_step` are used.

    `sample_weight` counts for both terms, or is a dictionary `{"labels": ..., "teacher": ...}` of
    the weights for either; without one of them, that term counts all samples alike. Metrics take
    those for labels.

    A sample whose label is -1 has none and learns from the teacher alone, with
    `objectives.LabelCrossEntropy`, the default loss, or a loss of Keras with `ignore_class`; see
    `unlabelled`. Metrics leave it out if they are given as `weighted_metrics`.

    `label_weight`, `teacher_weight` and `temperature` may be assigned at any time, in a callback
    during `fit`, too: the next step takes them, without being traced again. `objective`, `teacher`,
    `output_kind`, `student_activation`, `teacher_activation`, `distill_void` and `check_data` may
    be assigned likewise; the next step is then traced once more. `copy.deepcopy` and `pickle` keep
    the teacher, which `save` leaves out by default.

    A model with a `preprocessor` and `preprocess_samples`, such as a task of KerasHub, is given raw
    data, and each teacher the same raw data through a preprocessor of its own if it has one; see
    `preparation`. Layers of the student that augment its input, such as `keras.layers.RandomFlip`,
    act on the student alone: for the same view, augment in the data (`dataset.map`).

    Example:
        ```python
        student = ban_tf.BornAgainModel(my_model(), teacher=teacher, objective="kd+labels")
        student.compile(optimizer="sgd", metrics=["accuracy"])
        student.fit(train, validation_data=validation, epochs=30)
        student.student.save("born_again.keras")
        ```

    Args:
        student: The model to train; any Keras model.
        teacher: A Keras model, a path to a `.keras` file, a function of a NumPy batch that returns
            logits or probabilities (or the file of an ONNX, TorchScript or SavedModel one),
            `ban_tf.RecordedTeacher(path)`, what `ban_tf.adapt_teacher` returns, a list of these
            (their mean distribution) or of pairs with a positive weight in that mean, as in
            `[(model, 0.7), ("b.keras", 0.3)]`, or None.
        objective: What to match: an `objectives.Objective`, its name ("kd", "cwtm", "dkpp",
            ...; "kd+labels", the default, adds the label term), a function
            `(labels, teacher_logits, student_logits) -> loss per sample`, or a dictionary from
            output names to any of these, for a model of which only some outputs are distilled.
        label_weight: Weight of the compiled loss; by default what the objective's name says
            (0 for "kd", 1 for "kd+labels"). A number, or a schedule: a function that returns one,
            given the index of the epoch from 0.
        teacher_weight: Weight of the objective; a number or a schedule.
        temperature: Shorthand for the objective's own temperature; a number or a schedule.
        distillation_losses: Further terms: a `keras.distillation.DistillationLoss`, or a list of
            such losses or pairs of a loss and its weight, as in
            `[(keras.distillation.FeatureDistillation("mse", "conv_3", "conv_3"), 0.1)]`. They
            are added as they are weighted, and need a single model as teacher, and an objective
            that looks at it. Features of other shapes are compared by `ban_tf.features.losses`.
        output_kind: What the outputs mean: "categorical" (a distribution over the last axis),
            "binary" (independent yes-or-no units) or "values" (a regression); a dictionary of
            these by output name; None for what the compiled loss and the model's end say, see
            `output_kinds`. Teachers give what the student does.
        student_activation: "linear", "softmax" or "sigmoid" where detecting what was applied to
            the student's outputs last would err, or a dictionary of these by output name.
        teacher_activation: The same for the teacher.
        distill_void: Whether positions without a label, whose label is the `ignore_class` of the
            compiled loss or -1, still learn from the teacher where the objective reads no labels
            ("kd", "dkpp", "dist", ...). Objectives that read labels leave them out in any case.
        check_data: Whether arrays given to `fit` and `evaluate` are refused if they hold NaN, or
            labels that the compiled loss has no class for.
        seed: Seed of the objective's own draws (DKPP's permutations).

    Raises:
        InputError: A weight is negative, an argument unknown, teacher and student do not fit
            together, or the student has a step or loop of its own, such as `train_step`,
            `make_train_function` or `train_on_batch`.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: Any = None,
        objective: Any = "kd+labels",
        *,
        label_weight: float | Schedule | None = None,
        teacher_weight: float | Schedule = 1.0,
        temperature: float | Schedule | None = None,
        distillation_losses: Any = None,
        output_kind: str | Mapping[str, str] | None = None,
        student_activation: str | Mapping[str, str] | None = None,
        teacher_activation: str | Mapping[str, str] | None = None,
        distill_void: bool = True,
        check_data: bool = True,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(student, **kwargs)
        self.output_kind = output_kind
        self.student_activation = student_activation
        self.teacher_activation = teacher_activation
        self.distill_void = distill_void
        self.check_data = check_data
        self.expects_teacher = False
        self._adjust(objective, label_weight, teacher_weight, temperature)
        # Its state is a variable that is not a weight, so that one traced step serves generations
        # of different seeds.
        seed = check_count("seed", seed, least=0)
        self._draws = keras.random.SeedGenerator(seed, name="draws")
        terms = pairs(distillation_losses)
        self._further = DistillationTerms(terms, student) if terms else None
        self._check_further(self.objective)
        self.teacher = teacher
        self._label_loss = LossMean(name="label_loss")
        self._teacher_loss = LossMean(name="teacher_loss")
        self._agreement = keras.metrics.Mean(name="teacher_agreement")
        self._further_loss = LossMean(name="distillation_loss") if self._further else None
        if student.built:
            self.built = True

    def __setattr__(self, name: str, value: Any) -> None:
        """Checks settings, and hides a teacher's layers from Keras, which would track them.

        `teacher` may be assigned what `__init__` takes.
        """
        if name in _SETTINGS:
            value = self._checked_setting(name, value)
            self._trace_again()
        elif name == "teacher":
            value = teachers.as_teacher(value, self.teacher_activation)
            if value is not None and objectives.needs_teacher(self.objective):
                checks.check_teacher(value, self.student, self.objective)
            if self._further and not isinstance(value, (type(None), teachers.AbsentTeacher)):
                self._further.check(value, self.student)
            self._keep_off_xla(value)
            self._trace_again()
        super().__setattr__(name, value)
        if name == "teacher":
            self._release_optimizer()

    def _checked_setting(self, name: str, value: Any) -> Any:
        """Returns what is assigned to one of `_SETTINGS`."""
        if name in _FLAGS:
            return check_flag(name, value)
        own = name != "teacher_activation"
        allowed = KINDS if name == "output_kind" else ACTIVATIONS
        names = outputs.output_names(self.student)
        if isinstance(self.student, keras.Sequential):
            names = ["output_0"]
        check_declared(name, value, allowed, names if own else None)
        if not own and isinstance(self.teacher, teachers.OnlineTeacher):
            self.teacher.activation = value
        return value

    def _keep_off_xla(self, teacher: Any) -> None:
        """Turns XLA off for a teacher that runs on the host, which TensorFlow's XLA cannot call."""
        if keras.backend.backend() != "tensorflow":
            return
        self.supports_jit = not any(
            isinstance(part, teachers.FunctionTeacher) or teachers.looks_up(part)
            for part in teachers.parts_of(teacher)
        )
        if not self.supports_jit and self.compiled:
            self.jit_compile = False

    def _check_further(self, objective: Any) -> None:
        if self._further and not objectives.needs_teacher(objective):
            raise InputError(
                "`objective` is for labels alone, which leaves out `distillation_losses`, too; for "
                "these and labels alone, give objective='kd+labels' and teacher_weight=0."
            )

    def _check_objective(self, objective: Any) -> None:
        self._check_further(objective)
        checks.check_objective(objective, self.student)
        checks.check_gradients(objective, self.known_kinds(), student_outputs.shapes(self))
        if objectives.needs_teacher(objective):
            checks.check_teacher(self.teacher, self.student, objective)

    @property
    def seed(self) -> int:
        """Seed of the random draws of the objective."""
        return int(ops.convert_to_numpy(self._draws.state)[0])

    @seed.setter
    def seed(self, seed: int) -> None:
        count = ops.convert_to_numpy(self._draws.state)[1]
        self._draws.state.assign([seed, count])

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the outputs of the student."""
        with self._counting_losses():
            if self._further:
                return self._further.call_student(self.student, inputs, training)
            return super().call(inputs, training=training)

    def fit(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Trains the student as `keras.Model.fit` does, after checking the data.

        Raises:
            InputError: Data is certainly wrong; see `data_checks`.
        """
        options = _by_name(super().fit, x, y, arguments, options)
        self.check_fit(x, {**options, "y": y})
        options["sample_weight"] = _beside(y, options.get("sample_weight"))
        if isinstance(options.get("validation_data"), (tuple, list)):
            val_x, val_y, weights = keras.utils.unpack_x_y_sample_weight(options["validation_data"])
            self._check(val_x, val_y, weights)
            options["validation_data"] = (val_x, val_y, _beside(val_y, weights))
        if self._is_taught and isinstance(self.teacher, teachers.OnlineTeacher):
            augmentation.warn_of(self.student)
        options["callbacks"] = with_first(
            options.get("callbacks"), EpochCallback(self._begin_epoch)
        )
        with self._checking(), jax_devices.sharing(True, self):
            return super().fit(x, y, **options)

    def check_fit(self, x: Any, options: Mapping[str, Any]) -> None:
        """Checks training data as `fit` does, for arrays that `fit` gets batch by batch.

        Args:
            x: As for `fit`.
            options: Further arguments of `fit`, by name.

        Raises:
            InputError: As for `fit`.
        """
        y, weights = options.get("y"), options.get("sample_weight")
        if options.get("class_weight") is not None:
            weighting.check_class_weight(x, weights, teachers.is_recorded(y))
        self._prepare(x, y, weights, data_checks.largest_batch(x, options.get("batch_size")))
        if self._is_taught and not teachers.is_recorded(y) and not self._preparation().needed:
            for teacher in teachers.parts_of(self.teacher):
                if teachers.looks_up(teacher):
                    teacher.check_data(x)

    def evaluate(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Evaluates the student as `keras.Model.evaluate` does, after checking the data.

        Raises:
            InputError: As for `fit`.
        """
        if not keras_private.is_called_by_fit(options):  # which has prepared the data
            self._prepare(x, y, options.get("sample_weight"))
            if "sample_weight" in options:
                options["sample_weight"] = _beside(y, options["sample_weight"])
        with self._checking(), jax_devices.sharing(False, self):
            return super().evaluate(x, y, *arguments, **options)

    def _prepare(self, x: Any, y: Any, sample_weight: Any, batch_size: int | None = None) -> None:
        student_outputs.check(self, batch_size)
        self._check(x, y, sample_weight)

    def _check(self, x: Any, y: Any, sample_weight: Any = None) -> None:
        super()._check(x, y, sample_weight)
        if self._is_taught and not self._preparation().needed:
            weighting.check_labelled(sample_weight, y)

    def _preparation(self) -> preparation.Preparation:
        taught = self._is_taught and isinstance(self.teacher, teachers.OnlineTeacher)
        models = [self.student, *(self.teacher.models if taught else [])]
        key = [(id(model), id(getattr(model, "preprocessor", None))) for model in models]
        known = vars(self).get("_prepares")
        if known is None or known[0] != key:
            known = key, preparation.Preparation(models[0], models[1:])
            self.__dict__["_prepares"] = known  # not tracked by Keras
        return known[1]

    @property
    def _predicts_raw(self) -> bool:
        return student_code.overrides(self.student, "predict")

    def known_kinds(self) -> dict[str, str | None]:
        """Returns the kinds of the student's outputs by name, None where they are not known yet.

        Returns:
            "categorical", "binary" or "values"; None where that is in doubt, or a step may show
            more. Nothing for a subclass of `keras.Model`.
        """
        return student_outputs.known_kinds(self)

    def learning_outputs(self, x: Any, y_pred: Any) -> dict[str, matching.StudentOutput]:
        """Returns the outputs that learn from a teacher, by name, with their kinds and logits.

        Args:
            x: What the student was called with.
            y_pred: What it returned.

        Raises:
            InputError: What one of them means is in doubt, or it has another kind than the
                objective is for.
        """
        return student_outputs.learning(self, x, y_pred)


def _beside(labels: Any, sample_weight: Any) -> Any:
    return weighting.beside(sample_weight, labels, teachers.is_recorded(labels))


def _by_name(
    function: Callable[..., Any],
    x: Any,
    y: Any,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> dict[str, Any]:
    """Returns the further arguments of `fit` by name, also those given by position."""
    given = inspect.signature(function).bind_partial(x, y, *arguments, **options).arguments
    return {name: value for name, value in given.items() if name not in ("x", "y")}
