"""A model whose loss adds the terms of a teacher to that of the labels.

Each step

1. takes the teacher signal for the batch, outside the gradient tape;
2. passes it beside the labels to Keras's own `train_step`, so that loss scaling, gradient
   accumulation, distribution and what Keras adds later stay Keras's;
3. in `compute_loss`, adds the teacher term to the label term and the regularization losses.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from ban_tf import objectives
from ban_tf.compat import (
    distribute,
    first_step,
    keras_distribution,
    keras_private,
    masks,
    measured,
    outputs,
    preparation,
    recurrent_states,
    student_code,
    weighting,
)
from ban_tf.compat.loss_kinds import VALUES
from ban_tf.compat.outputs import batch_size
from ban_tf.distillation import (
    jax_steps,
    matching,
    step_seeds,
    student_outputs,
    teachers,
    unlabelled,
)
from ban_tf.distillation.checked_model import CheckedModel
from ban_tf.distillation.matching import StudentOutput
from ban_tf.distillation.proxy import StudentProxy
from ban_tf.errors import InputError


class Target(NamedTuple):
    """The targets of a batch: labels and teacher outputs.

    That is what its `split` returns by output, and, where `distillation_losses` ask for it, all
    that they may look at (see `OnlineTeacher.observe`).
    """

    labels: Any
    teacher_logits: dict[str, Any]
    teacher_seen: dict[str, Any] | None = None


class TaughtModel(CheckedModel, StudentProxy):
    """The training step, the loss and the metrics of `BornAgainModel`.

    Attributes:
        teacher: Where the teacher signal comes from; None without a teacher.
        expects_teacher: Whether a teacher is to be assigned.
    """

    teacher: Any = None
    expects_teacher: bool = False
    _further: Any = None  # `DistillationTerms`, if there are `distillation_losses`
    _teacher_variables: Sequence[Any] = ()  # whose values JAX steps are given

    @property
    def _is_taught(self) -> bool:
        """Whether there is a teacher, and an objective that uses it."""
        return self.teacher is not None and objectives.needs_teacher(self.objective)

    @property
    def trains_nothing(self) -> bool:
        """Whether no term counts beside a teacher, as long as no other weight is assigned."""
        held = self._adjustables
        counts = [held.label_weight, held.teacher_weight]
        return self._further is None and all(weight.stays_zero for weight in counts)

    @property
    def non_trainable_variables(self) -> list[Any]:
        """As Keras has it; under JAX also the states of recurrent layers, which a step returns."""
        if keras.backend.backend() != "jax":
            return super().non_trainable_variables
        return [*super().non_trainable_variables, *recurrent_states.variables(self)]

    def train_step(self, *state_and_data: Any) -> Any:
        """Runs the training step on labels and teacher outputs."""
        return self._beside_teacher(super().train_step, *state_and_data)

    def test_step(self, *state_and_data: Any) -> Any:
        """Runs the evaluation step on labels and teacher outputs."""
        return self._beside_teacher(super().test_step, *state_and_data, training=False)

    def _beside_teacher(
        self, step: Callable[..., Any], *state_and_data: Any, training: bool = True
    ) -> Any:
        with measured.in_step():
            return self._with_teacher(step, *state_and_data, training=training)

    def _with_teacher(self, step: Callable[..., Any], *state_and_data: Any, training: bool) -> Any:
        *state, data = state_and_data  # JAX passes its state
        data, held = jax_steps.given_values(self, self._teacher_variables, data, *state)
        if not self._is_taught:
            return step(*state, data)
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        observing = self._further.observing() if self._further else contextlib.nullcontext()
        if not training and teachers.looks_up(self.teacher) and not teachers.is_recorded(labels):
            labels = Target(preparation.inputs_and_labels(inputs, labels)[1], {})
        else:
            with held:
                labels = self._with_signal(inputs, labels)
            state = jax_steps.with_states(self, held, state)
        with observing:
            return step(*state, (inputs, labels, sample_weight))

    def _with_signal(self, inputs: Any, labels: Any) -> Any:
        """Returns labels with the teacher's outputs, or unchanged labels if there are none."""
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
        if self.building:  # only what is compiled; the teacher is not part of it
            y = self._labels_alone(y)
        elif self._is_taught and not isinstance(y, Target):
            y = self._with_signal(x, y)
        self._check_smoothing(list(student_outputs.by_name(self, y_pred)))
        target = y if isinstance(y, Target) else Target(y, {})
        weights = self._weights_by_term(sample_weight, target.labels, y_pred)
        distils = bool(target.teacher_logits) or self.expects_teacher
        students = student_outputs.used_outputs(self, x, y_pred, distils)
        if training and self._is_taught and not target.teacher_logits:
            raise InputError(
                "`teacher` is a RecordedTeacher, but the batches bring nothing recorded; give them "
                "the form (x, {'labels': y, 'teacher_logits': t})."
            )
        # Before replicas synchronize, when another replica may run in this thread.
        additional = keras_distribution.additional_losses(self, batch_size(y_pred))
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
        return terms[0] if len(terms) == 1 else ops.sum(weighting.in_one_dtype(terms))

    def _label_term(
        self, target: Target, y_pred: Any, students: dict[str, StudentOutput], sample_weight: Any
    ) -> list[Any]:
        """Returns the weighted label loss in a list; an empty list if labels have no weight."""
        weight = self._adjustables.label_weight
        # Validation data without teacher outputs is judged by its labels.
        only_labels = not target.teacher_logits
        compiled = keras_private.compiled_loss(self)
        alone = compiled is None and self._adds_losses()
        if target.labels is None:
            if only_labels and self.building:  # its own losses are built with the first labels
                return [ops.zeros(())]
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
        if compiled is not None:
            label_loss = compiled(target.labels, y_pred, sample_weight)
        else:
            if not only_labels and weight.is_zero:
                students = {
                    name: student._replace(logits=weight.gate(student.logits))
                    for name, student in students.items()
                }
            label_loss = self._default_label_loss(
                target.labels,
                students,
                sample_weight,
                counts=only_labels or not weight.stays_zero,
            )
            if label_loss is None:
                return []
        # The label loss is reported even if its weight is zero.
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
        """Returns the weighted loss of the student's `compute_loss`, and losses to add to it."""
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
            loss = loss - ops.sum(additional)  # which `label_weight` does not weight
        self._track(self._label_loss, loss, y_pred)
        return [weight.times(loss)], additional

    def _teacher_term(
        self,
        target: Target,
        y_pred: Any,
        students: dict[str, StudentOutput],
        sample_weight: Any,
        training: bool,
    ) -> list[Any]:
        """Returns the weighted objective in a list; an empty list without teacher outputs."""
        if not target.teacher_logits:
            return []
        learning = {name: students[name] for name in matching.learning(self.objective, students)}
        names = list(student_outputs.by_name(self, y_pred))
        teacher_loss = matching.teacher_loss(
            self._at_present(),
            self._labels_of(target.labels, names),
            matching.signals(self.teacher, target.teacher_logits, learning, names, self.student),
            learning,
            names=names,
            sample_weight=sample_weight,
            seed=step_seeds.next_seed(self._draws, getattr(self, "optimizer", None), training),
            watch=self._agreement.update_state,
        )
        self._track(self._teacher_loss, teacher_loss, y_pred)
        if any(student.kind != VALUES for student in learning.values()):
            measured.note(self._agreement)  # values have no classes to agree on
        return [self._adjustables.teacher_weight.times(teacher_loss)]

    def _distillation_term(
        self, target: Target, y_pred: Any, students: dict[str, StudentOutput], sample_weight: Any
    ) -> list[Any]:
        """Returns the sum of `distillation_losses` in a list; an empty list if there are none."""
        if target.teacher_seen is None:
            return []
        ours, theirs = {"outputs": y_pred}, target.teacher_seen
        if self._further.look_at_logits:
            logits = {name: student.logits for name, student in students.items()}
            ours["logits"] = outputs.structured_like(y_pred, logits)
            signals = matching.signals(
                self.teacher, target.teacher_logits, students, list(students), self.student
            )
            counted = matching.counted_names(self.teacher, self.student)
            signals = outputs.aligned(signals, list(target.teacher_logits), counted)
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
        weights = self._weights_by_term(sample_weight, labels, y_pred).labels
        weights = unlabelled.metric_weights(self, labels, y_pred, weights)
        return super().compute_metrics(x, labels, y_pred, weights)

    def _weights_by_term(
        self, sample_weight: Any, labels: Any, y_pred: Any
    ) -> weighting.TermWeights:
        known = dict.fromkeys(student_outputs.by_name(self, y_pred))
        for structure in (y_pred, labels):
            known.update(dict.fromkeys(structure if isinstance(structure, dict) else ()))
        known.update(dict.fromkeys(outputs.output_names(self.student) or ()))
        return weighting.by_term(sample_weight, known)

    @property
    def further_metrics(self) -> list[keras.metrics.Metric]:
        """The metrics that a teacher adds to those of the student."""
        if not self._is_taught:
            return []
        further = [self._further_loss] if self._further else []
        return [self._label_loss, self._teacher_loss, self._agreement, *further]

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the training function, after the optimizer's variables."""
        lazy = self._further or student_code.overrides(self.student, "compute_loss")
        if keras.backend.backend() == "tensorflow" and not lazy:
            first_step.build_optimizer(self)
        return super().make_train_function(force)

    def _after_a_look(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self._is_taught:
            found = jax_steps.teacher_variables(self.teacher, self)
            self.__dict__["_teacher_variables"] = found  # not tracked by Keras
        return super()._after_a_look(function)

    def _looked_at(self, batches: Iterable[Any]) -> Iterator[Any]:
        for data in super()._looked_at(batches):
            if self._is_taught:
                values = [variable.value for variable in self._teacher_variables]
                yield jax_steps.Batch(data, values)
            else:
                yield data

    def _build_ahead(self, data_batch: Any) -> None:
        _, labels, _ = keras.utils.unpack_x_y_sample_weight(self._as_built(data_batch))
        if not student_code.overrides(self.student, "compute_metrics"):
            first_step.build_metrics(self, labels, self.student)

    def _as_built(self, data_batch: Any) -> Any:
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data_batch)
        return inputs, self._labels_alone(labels), sample_weight

    def _labels_alone(self, labels: Any) -> Any:
        """Returns labels without the teacher's outputs and inputs."""
        _, labels = preparation.inputs_and_labels(None, labels)
        teacher = getattr(self.teacher, "teacher", self.teacher)  # of one with other classes
        recorded = isinstance(teacher, teachers.RecordedTeacher)
        return labels["labels"] if recorded and teachers.is_recorded(labels) else labels

    def _track(self, tracker: keras.metrics.Metric, loss: Any, y_pred: Any) -> None:
        if not any(tracker is metric for metric in self.further_metrics):
            return
        measured.note(tracker)
        tracker.update_state(loss * distribute.replica_count(), sample_weight=batch_size(y_pred))
