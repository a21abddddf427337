"""`BornAgainModel`: one student learning from one teacher, through `keras.Model.fit`.

What it adds to `keras.Model` is the teacher and nothing else. Each step

1. takes the teacher signal for the batch, outside the gradient tape;
2. hands it on beside the labels to Keras's own `train_step`, so that loss scaling, gradient
   accumulation, distribution and whatever Keras adds later stay Keras's;
3. in `compute_loss`, adds the teacher term to the label term and the regularization losses.

The teacher's weights are nowhere among the student's, and `student.student` is the plain
Keras model that the user gave.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from ban_tf import objectives
from ban_tf.compat import distribute, masks, measured, outputs, preparation, student_code, weighting
from ban_tf.compat import model_checks as checks
from ban_tf.compat.keras_distribution import LossMean
from ban_tf.compat.loss_kinds import KINDS, VALUES
from ban_tf.compat.output_evidence import collect, kind_if_known, known
from ban_tf.compat.output_kinds import ACTIVATIONS, Evidence, check_declared
from ban_tf.compat.outputs import batch_size
from ban_tf.distillation import (
    adjustable,
    augmentation,
    data_checks,
    matching,
    teacher_files,
    teachers,
)
from ban_tf.distillation.adjustable import EpochCallback, Schedule, with_first
from ban_tf.distillation.checked_model import CheckedModel
from ban_tf.distillation.distillation_losses import DistillationTerms, pairs
from ban_tf.distillation.prepared_model import Preparing
from ban_tf.distillation.proxy import StudentProxy
from ban_tf.errors import InputError


class Target(NamedTuple):
    """What a student learns from: the labels, and what the teacher has to say.

    That is what its `split` returns by output, and, where `distillation_losses` ask for it, all
    that they may look at (see `OnlineTeacher.observe`).
    """

    labels: Any
    teacher_logits: dict[str, Any]
    teacher_seen: dict[str, Any] | None = None


@keras.saving.register_keras_serializable("ban_tf")
class BornAgainModel(Preparing, CheckedModel, StudentProxy):
    """A Keras model in training with a teacher (Furlanello et al., 2018).

    The loss is `label_weight * (compiled loss) + teacher_weight * (objective)` plus the
    student's regularization losses. Without a teacher it is the compiled loss alone, weighted
    by one: generation 0. Every other thing that `fit`, `evaluate` and `predict` do, they do as
    for the student itself: its own `compute_loss` takes the place of the compiled loss, its own
    `compute_metrics`, `metrics`, `compile` and `predict_step` are used.

    `sample_weight` counts for both terms, or is a dictionary `{"labels": ..., "teacher": ...}` of
    the weights for either; without one of them, that term counts all samples alike. Metrics take
    those for labels.

    `label_weight`, `teacher_weight` and `temperature` may be assigned at any time, in a callback
    during `fit`, too: the next step takes them, without being traced again. `objective` and
    `teacher` may be assigned likewise; the next step is then traced once more. `copy.deepcopy`
    and `pickle` keep the teacher, which `save` leaves out unless it is asked for.

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
        teacher: A Keras model, a path to a `.keras` file, a list of either (their mean
            distribution) or of pairs with a positive weight in that mean, as in
            `[(model, 0.7), ("b.keras", 0.3)]`, `ban_tf.RecordedTeacher()`, or None.
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
            that looks at it.
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

    teacher: Any = None
    _further: DistillationTerms | None = None
    _builds = False  # while Keras makes what it compiles

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
        names = outputs.output_names(student)
        check_declared("output_kind", output_kind, KINDS, names)
        check_declared("student_activation", student_activation, ACTIVATIONS, names)
        check_declared("teacher_activation", teacher_activation, ACTIVATIONS, None)
        self.output_kind = output_kind
        self.student_activation = student_activation
        self.teacher_activation = teacher_activation
        self.distill_void = checks.check_flag("distill_void", distill_void)
        self.check_data = checks.check_flag("check_data", check_data)
        self.expects_teacher = False
        self._adjust(objective, label_weight, teacher_weight, temperature)
        # Its state is a variable, so that one traced step serves generations of different seeds,
        # and none of the weights.
        seed = checks.check_count("seed", seed, least=0)
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
        """Keeps Keras from finding a teacher's layers, and taking them for the student's own.

        `teacher` may be assigned whatever `__init__` takes.
        """
        if name == "teacher":
            value = teachers.as_teacher(value, self.teacher_activation)
            if value is not None and objectives.needs_teacher(self.objective):
                checks.check_teacher(value, self.student, self.objective)
            if self._further and not isinstance(value, (type(None), teachers.AbsentTeacher)):
                self._further.check(value, self.student)
            self._trace_again()
        super().__setattr__(name, value)

    def _check_further(self, objective: Any) -> None:
        if self._further and not objectives.needs_teacher(objective):
            raise InputError(
                "`objective` is for labels alone, which leaves out `distillation_losses`, too; for "
                "these and labels alone, give objective='kd+labels' and teacher_weight=0."
            )

    def _check_objective(self, objective: Any) -> None:
        self._check_further(objective)
        checks.check_objective(objective, self.student)
        checks.check_gradients(objective, self.known_kinds(), self._shapes())
        if objectives.needs_teacher(objective):
            checks.check_teacher(self.teacher, self.student, objective)

    @property
    def _is_taught(self) -> bool:
        """Whether there is a teacher, and an objective that looks at it."""
        return self.teacher is not None and objectives.needs_teacher(self.objective)

    @property
    def seed(self) -> int:
        """Seed of the objective's own draws."""
        return int(ops.convert_to_numpy(self._draws.state)[0])

    @seed.setter
    def seed(self, seed: int) -> None:
        count = ops.convert_to_numpy(self._draws.state)[1]
        self._draws.state.assign([seed, count])

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the student's own outputs."""
        with self._counting_losses():
            if self._further:
                return self._further.call_student(self.student, inputs, training)
            return super().call(inputs, training=training)

    def fit(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Trains the student as `keras.Model.fit` does, after a look at the data.

        Raises:
            InputError: Data is certainly wrong; see `data_checks`.
        """
        options = _by_name(super().fit, x, y, arguments, options)
        if options.get("class_weight") is not None:
            weighting.check_class_weight(x, options.get("sample_weight"), teachers.is_recorded(y))
        self._prepare(x, y, options, data_checks.largest_batch(x, options.get("batch_size")))
        options["sample_weight"] = _beside(y, options.get("sample_weight"))
        if isinstance(options.get("validation_data"), (tuple, list)):
            self._check(*options["validation_data"])
            val_x, val_y, weights = keras.utils.unpack_x_y_sample_weight(options["validation_data"])
            options["validation_data"] = (val_x, val_y, _beside(val_y, weights))
        if self._is_taught and isinstance(self.teacher, teachers.OnlineTeacher):
            augmentation.warn_of(self.student)
        options["callbacks"] = with_first(
            options.get("callbacks"), EpochCallback(self._begin_epoch)
        )
        with self._checking():
            return super().fit(x, y, **options)

    def evaluate(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Evaluates the student as `keras.Model.evaluate` does, after a look at the data.

        Raises:
            InputError: As for `fit`.
        """
        if not options.get("_use_cached_eval_dataset"):  # which `fit` has prepared
            self._prepare(x, y, options)
            if "sample_weight" in options:
                options["sample_weight"] = _beside(y, options["sample_weight"])
        with self._checking():
            return super().evaluate(x, y, *arguments, **options)

    def _prepare(
        self, x: Any, y: Any, options: dict[str, Any], batch_size: int | None = None
    ) -> None:
        self._check_outputs(batch_size)
        self._check(x, y, options.get("sample_weight"))
        if keras.backend.backend() == "jax":
            # A step that JAX compiles holds the teacher's weights as they were then.
            self.train_function = self.test_function = None

    def _preparation(self) -> preparation.Preparation:
        taught = self._is_taught and isinstance(self.teacher, teachers.OnlineTeacher)
        models = [self.student, *(self.teacher.models if taught else [])]
        key = [(id(model), id(getattr(model, "preprocessor", None))) for model in models]
        known = vars(self).get("_prepares")
        if known is None or known[0] != key:
            known = key, preparation.Preparation(models[0], models[1:])
            vars(self)["_prepares"] = known
        return known[1]

    @property
    def _predicts_raw(self) -> bool:
        return student_code.overrides(self.student, "predict")

    def train_step(self, *state_and_data: Any) -> Any:
        """Keras's training step, with the teacher's opinion of the batch beside the labels."""
        return self._beside_teacher(super().train_step, *state_and_data)

    def test_step(self, *state_and_data: Any) -> Any:
        """Keras's evaluation step, with the teacher's opinion of the batch beside the labels."""
        return self._beside_teacher(super().test_step, *state_and_data)

    def known_kinds(self) -> dict[str, str | None]:
        """Returns the kinds of the student's outputs by name, as far as they are known so far.

        Returns:
            "categorical", "binary" or "values"; None where that is in doubt, or a step may show
            more. Nothing for a subclass of `keras.Model`.
        """
        return {name: kind_if_known(each) for name, each in self._evidence().items()}

    def _evidence(self, called: Any = None) -> dict[str, Evidence]:
        found = collect(
            self.student,
            "student",
            loss=getattr(self, "loss", None),
            output_kind=self.output_kind,
            activation=self.student_activation,
            called=called,
        )
        if student_code.overrides(self.student, "compute_loss"):  # which says nothing
            found = {name: each._replace(compiled=True) for name, each in found.items()}
        if not isinstance(self.teacher, teachers.OnlineTeacher):
            return found
        taught = outputs.aligned(self.teacher.compiled_kinds(), list(found))
        return {name: each._replace(taught=taught.get(name)) for name, each in found.items()}

    def _check_outputs(self, batch_size: int | None) -> None:
        """Checks that the objective can teach outputs of these kinds, as far as they are known."""
        if not self._is_taught and not self.expects_teacher:
            return  # plain Keras, which asks for no meaning
        evidence = self._evidence()
        names = matching.learning(self.objective, evidence)
        found = {name: known(evidence[name]) for name in names if name in evidence}
        kinds = {name: each.kind for name, each in found.items() if each is not None}
        matching.fitting(self.objective, kinds)
        checks.check_gradients(self.objective, kinds, self._shapes(), batch_size)

    def _shapes(self) -> dict[str, tuple]:
        return checks.output_shapes(self.student) or {}

    def _by_name(self, y_pred: Any) -> dict[str, Any]:
        return outputs.named(y_pred, outputs.output_names(self.student))

    def learning_outputs(self, x: Any, y_pred: Any) -> dict[str, matching.Answer]:
        """Returns the outputs that learn from a teacher, by name, with their kinds and logits.

        Args:
            x: What the student was called with.
            y_pred: What it returned.

        Raises:
            InputError: What one of them means is in doubt, or it has another kind than the
                objective is for.
        """
        by_name = self._by_name(y_pred)
        names = matching.learning(self.objective, by_name)
        found = matching.answers(by_name, self._evidence((x, by_name)), names)
        kinds = {name: each.kind for name, each in found.items()}
        matching.fitting(self.objective, kinds)
        shapes = {name: tuple(each.output.shape) for name, each in found.items()}
        checks.check_gradients(self.objective, kinds, shapes)
        return found

    def _answers(self, x: Any, y_pred: Any, distils: bool) -> dict[str, matching.Answer]:
        """Returns the student's outputs that are looked at beyond the compiled loss, by name."""
        learning = self.learning_outputs(x, y_pred) if distils else {}
        if self._compile_loss is not None and not (self._further and self._further.look_at_logits):
            return learning
        if self._compile_loss is None and self._adds_losses():
            return learning  # these train alone
        by_name = self._by_name(y_pred)
        return matching.answers(by_name, self._evidence((x, by_name)), by_name)

    def _beside_teacher(self, step: Callable[..., Any], *state_and_data: Any) -> Any:
        with measured.in_step():
            return self._with_teacher(step, *state_and_data)

    def _with_teacher(self, step: Callable[..., Any], *state_and_data: Any) -> Any:
        *state, data = state_and_data  # JAX passes its state along
        if not self._is_taught:
            return step(*state, data)
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        observing = self._further.observing() if self._further else contextlib.nullcontext()
        with observing:
            return step(*state, (inputs, self._with_signal(inputs, labels), sample_weight))

    def _with_signal(self, inputs: Any, labels: Any) -> Any:
        """Returns labels with the teacher's outputs, or as they are if it has none for them."""
        inputs, labels = preparation.inputs_and_labels(inputs, labels)
        if isinstance(self.teacher, teachers.OnlineTeacher):
            if inputs is None:
                raise InputError(
                    "`x` is None, but `teacher` is a model, which needs the inputs; give them."
                )
            if self._further:
                logits, seen = self.teacher.observe(inputs, self._further.teacher_layers)
                return Target(labels, logits, seen)
        labels, logits = self.teacher.split(inputs, labels)
        return labels if logits is None else Target(labels, logits)

    def _symbolic_build(self, *arguments: Any, **options: Any) -> None:
        # Builds what is compiled, with which a teacher has nothing to do.
        self._builds = True
        try:
            super()._symbolic_build(*arguments, **options)
        finally:
            self._builds = False

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the total loss, a scalar: label term, teacher term, regularization.

        In a training loop of your own, give the inputs too: a model as teacher is called on them.
        """
        if self._builds:
            y = self._labels_alone(y)
        elif self._is_taught and not isinstance(y, Target):
            y = self._with_signal(x, y)
        target = y if isinstance(y, Target) else Target(y, {})
        weights = self._weights_by_term(sample_weight, target.labels, y_pred)
        distils = bool(target.teacher_logits) or self.expects_teacher
        students = self._answers(x, y_pred, distils)
        if training and self._is_taught and not target.teacher_logits:
            raise InputError(
                "`teacher` is a RecordedTeacher, but the batches bring nothing recorded; give them "
                "the form (x, {'labels': y, 'teacher_logits': t})."
            )
        # Before replicas meet: another one's pass then takes the place of this one's.
        additional = self._additional_losses(batch_size(y_pred))
        if student_code.overrides(self.student, "compute_loss"):
            label_term, additional = self._own_label_term(
                x, target, y_pred, weights.labels, training, additional
            )
        else:
            label_term = self._label_term(target, y_pred, students, weights.labels)
        terms = [
            *label_term,
            *self._teacher_term(target, y_pred, students, weights.teacher, training),
            *self._distillation_term(target, y_pred, students, sample_weight),
            *additional,
        ]
        return terms[0] if len(terms) == 1 else ops.sum(terms)

    def _label_term(
        self, target: Target, y_pred: Any, students: dict[str, matching.Answer], sample_weight: Any
    ) -> list[Any]:
        """Returns the weighted label loss in a list; an empty one if labels do not count."""
        weight = self._adjustables.label_weight
        # Validation data without a teacher signal has the labels to go by.
        only_labels = not target.teacher_logits
        alone = self._compile_loss is None and self._adds_losses()
        if target.labels is None:
            if only_labels and alone:
                return []
            if only_labels or not weight.stays_zero:
                raise InputError(
                    "`y` is None, but labels count by `label_weight` "
                    f"{1.0 if only_labels else self.label_weight:g}; give labels."
                )
            self._unlabelled = True
            return []
        if alone:
            return self._without_label_term(only_labels)
        if not only_labels and weight.is_zero:
            y_pred = weight.gate(y_pred)
        if self._compile_loss is not None:
            label_loss = self._compile_loss(target.labels, y_pred, sample_weight)
        else:
            if not only_labels and weight.is_zero:
                students = {
                    name: each._replace(logits=weight.gate(each.logits))
                    for name, each in students.items()
                }
            label_loss = self._default_label_loss(
                target.labels,
                students,
                sample_weight,
                counts=only_labels or not weight.stays_zero,
            )
            if label_loss is None:
                return []
        # Labels that do not count are still worth reporting.
        self._track(self._label_loss, label_loss, y_pred)
        return [label_loss if only_labels else weight.times(label_loss)]

    def _without_label_term(self, only_labels: bool) -> list[Any]:
        """Returns no label term, for a student that adds losses and was compiled without one.

        Raises:
            InputError: Labels were to count beside a teacher.
        """
        if not only_labels:
            if not self._adjustables.label_weight.stays_zero:
                raise InputError(
                    f"Labels count by `label_weight` {self.label_weight:g}, but `compile` was "
                    "given no loss, and the student has losses of its own (`add_loss`); provide a "
                    "`loss` argument in `compile()`, or let `label_weight` be 0."
                )
            self._unlabelled = True
            return []
        warnings.warn(
            "`compile` was given no loss, so that the losses which the student adds (`add_loss`) "
            "train alone, and `y` does not count.",
            stacklevel=2,
        )
        return []

    def _own_label_term(
        self,
        x: Any,
        target: Target,
        y_pred: Any,
        sample_weight: Any,
        training: bool,
        additional: list[Any],
    ) -> tuple[list[Any], list[Any]]:
        """Returns the student's own weighted loss in a list, and what is to be added to it."""
        weight = self._adjustables.label_weight
        only_labels = not target.teacher_logits
        if target.labels is None and not only_labels and weight.stays_zero:
            self._unlabelled = True
            return [], additional
        if not only_labels and weight.is_zero:
            y_pred = weight.gate(y_pred)
        with self._lend():
            loss, counted = student_code.compute_loss(
                self.student, additional, x, target.labels, y_pred, sample_weight, training=training
            )
        if only_labels:
            return [loss], []
        additional = additional if counted else []
        if additional:
            loss = loss - ops.sum(additional)  # which `label_weight` is not for
        self._track(self._label_loss, loss, y_pred)
        return [weight.times(loss)], additional

    def _teacher_term(
        self,
        target: Target,
        y_pred: Any,
        students: dict[str, matching.Answer],
        sample_weight: Any,
        training: bool,
    ) -> list[Any]:
        """Returns the weighted objective in a list; an empty one without a teacher signal."""
        if not target.teacher_logits:
            return []
        learning = matching.learning(self.objective, students)
        learning = {name: students[name] for name in learning}
        names = list(self._by_name(y_pred))
        teacher_loss = matching.teacher_loss(
            self._at_present(),
            self._labels_of(target.labels, names),
            matching.signals(self.teacher, target.teacher_logits, learning, names),
            learning,
            names=names,
            sample_weight=sample_weight,
            seed=self._draw(training),
            watch=self._agreement.update_state,
        )
        self._track(self._teacher_loss, teacher_loss, y_pred)
        if any(student.kind != VALUES for student in learning.values()):
            measured.note(self._agreement)  # of values nothing is the same class
        return [self._adjustables.teacher_weight.times(teacher_loss)]

    def _distillation_term(
        self, target: Target, y_pred: Any, students: dict[str, matching.Answer], sample_weight: Any
    ) -> list[Any]:
        """Returns the sum of `distillation_losses` in a list; an empty one if there are none."""
        if target.teacher_seen is None:
            return []
        ours, theirs = {"outputs": y_pred}, target.teacher_seen
        if self._further.look_at_logits:
            logits = {name: student.logits for name, student in students.items()}
            ours["logits"] = outputs.structured_like(y_pred, logits)
            signals = matching.signals(
                self.teacher, target.teacher_logits, students, list(students)
            )
            signals = outputs.aligned(signals, list(target.teacher_logits))
            theirs = {**theirs, "logits": outputs.structured_like(theirs["outputs"], signals)}
        given = keras.tree.flatten(y_pred)
        masked = any(masks.mask_of(output) is not None for output in given)
        further_loss = self._further.total(
            theirs,
            ours,
            weighted=masked or sample_weight is not None,
            size=batch_size(y_pred),
        )
        self._track(self._further_loss, further_loss, y_pred)
        return [further_loss]

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict:
        """Updates the student's metrics on the labels, if any, and returns all results by name."""
        labels = y.labels if isinstance(y, Target) else self._labels_alone(y)
        weights = self._weights_by_term(sample_weight, labels, y_pred)
        return super().compute_metrics(x, labels, y_pred, weights.labels)

    def _weights_by_term(
        self, sample_weight: Any, labels: Any, y_pred: Any
    ) -> weighting.TermWeights:
        known = dict.fromkeys(self._by_name(y_pred))
        for structure in (y_pred, labels):
            known.update(dict.fromkeys(structure if isinstance(structure, dict) else ()))
        known.update(dict.fromkeys(outputs.output_names(self.student) or ()))
        return weighting.by_term(sample_weight, known)

    @property
    def further_metrics(self) -> list[keras.metrics.Metric]:
        """What a teacher adds to the student's metrics."""
        if not self._is_taught:
            return []
        further = [self._further_loss] if self._further else []
        return [self._label_loss, self._teacher_loss, self._agreement, *further]

    def _as_built(self, data_batch: Any) -> Any:
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data_batch)
        return inputs, self._labels_alone(labels), sample_weight

    def _labels_alone(self, labels: Any) -> Any:
        """Returns labels without a teacher's outputs or inputs that come with them."""
        _, labels = preparation.inputs_and_labels(None, labels)
        recorded = isinstance(self.teacher, teachers.RecordedTeacher)
        return labels["labels"] if recorded and teachers.is_recorded(labels) else labels

    def _draw(self, training: bool) -> Any:
        """Returns the seed of this step's draws: two integers, another pair each step."""
        seed, count = ops.unstack(ops.cast(ops.convert_to_tensor(self._draws.state), "int32"))
        if keras.backend.backend() != "jax":
            count = 0 if self.optimizer is None else self.optimizer.iterations
        elif training:
            self._draws.next()  # JAX steps do not see the optimizer's own count
        return ops.stack([seed, ops.cast(count, "int32")])

    def _track(self, tracker: keras.metrics.Metric, loss: Any, y_pred: Any) -> None:
        if not any(tracker is metric for metric in self.further_metrics):
            return
        measured.note(tracker)
        tracker.update_state(loss * distribute.replica_count(), sample_weight=batch_size(y_pred))

    def save(
        self,
        filepath: Any,
        overwrite: bool = True,
        *arguments: Any,
        include_teacher: bool = False,
        **options: Any,
    ) -> None:
        """Saves the student, and all it takes to train on, in a `.keras` file.

        A teacher that was given as a path is found there again. One that was given as a model is
        left out, so that checkpoints do not grow with it, unless it is asked for.

        Args:
            filepath: As for `keras.Model.save`.
            overwrite: As for `keras.Model.save`.
            *arguments: As for `keras.Model.save`.
            include_teacher: Whether the file is to hold the teacher, too.
            **options: As for `keras.Model.save`.
        """
        self._include_teacher = include_teacher
        try:
            super().save(filepath, overwrite, *arguments, **options)
        finally:
            self._include_teacher = False

    @property
    def variables(self) -> list[Any]:
        """All state: the student's; with a teacher, that of the teacher's terms beside it."""
        if not self._is_taught:
            return self.student.variables
        return [*super().variables, *self._projections("variables")]

    @property
    def weights(self) -> list[Any]:
        """The student's weights; with a teacher, those of `distillation_losses` after them."""
        return [*super().weights, *self._projections("weights")]

    def _projections(self, kind: str) -> list[Any]:
        if self._further is None or not self._is_taught:
            return []
        return self._further.variables(kind)

    def __reduce__(self) -> tuple[Any, ...]:
        """Returns what `pickle` and `copy` make the model of again, the teacher included."""
        make, arguments = super().__reduce__()
        return _taught, (make, arguments, self.teacher)

    def save_own_variables(self, store: Any) -> None:
        """Saves what is not the student's: the state of draws, and of `distillation_losses`."""
        store["draws"] = self._draws.state
        held = self._further.variables("weights") if self._further else []
        for index, variable in enumerate(held):
            store[f"projection_{index}"] = variable

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` saved; older files have nothing of it."""
        names = set(store.keys())
        if "draws" in names:
            self._draws.state.assign(store["draws"])
        if self._further:
            numbers = range(sum(name.startswith("projection_") for name in names))
            self._further.restore([np.array(store[f"projection_{each}"]) for each in numbers])

    def save_assets(self, dir_path: str) -> None:
        """Puts the teacher beside the student's weights, where `save` was asked to."""
        if getattr(self, "_include_teacher", False):
            teacher_files.write(self.teacher, dir_path)

    def load_assets(self, dir_path: str) -> None:
        """Takes the teacher from the file, if it is there."""
        found = teacher_files.read(dir_path)
        if found:
            self.teacher = found

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration; of the teacher, only where it is found."""
        terms = self._further.terms if self._further else []
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "student": serialize(self.student),
            "teacher": teacher_files.reference(self.teacher),
            "objective": serialize(self.objective),
            **self._adjusted(),
            "distillation_losses": [[serialize(loss), weight] for loss, weight in terms],
            "output_kind": self.output_kind,
            "student_activation": self.student_activation,
            "teacher_activation": self.teacher_activation,
            "distill_void": self.distill_void,
            "check_data": self.check_data,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        """Makes the model again; a teacher that was not saved is missed when training."""
        deserialize = keras.saving.deserialize_keras_object
        config = {
            **config,
            "student": deserialize(config["student"], custom_objects),
            "teacher": teacher_files.from_reference(config["teacher"]),
            "distillation_losses": [
                (deserialize(loss, custom_objects), weight)
                for loss, weight in config["distillation_losses"]
            ],
            **{
                name: adjustable.from_config(config.get(name), name)
                for name in ("label_weight", "teacher_weight", "temperature")
                if name in config
            },
        }
        return cls(**config)


def _taught(make: Callable[..., Any], arguments: tuple[Any, ...], teacher: Any) -> Any:
    model = make(*arguments)
    model.teacher = teacher
    return model


def _beside(labels: Any, sample_weight: Any) -> Any:
    return weighting.beside(sample_weight, labels, teachers.is_recorded(labels))


def _by_name(
    function: Callable[..., Any],
    x: Any,
    y: Any,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> dict[str, Any]:
    """Returns the further arguments of `fit` by their names, wherever they were given."""
    given = inspect.signature(function).bind_partial(x, y, *arguments, **options).arguments
    return {name: value for name, value in given.items() if name not in ("x", "y")}
