"""A student whose data is checked before training, and whose labels reach the right outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras

from ban_tf.compat import added_losses, keras_private, student_code
from ban_tf.compat.keras_distribution import several
from ban_tf.compat.loss_kinds import VALUES
from ban_tf.distillation import data_checks, matching, targets, teachers
from ban_tf.distillation.adjustable import AdjustableModel
from ban_tf.errors import InputError


class CheckedModel(AdjustableModel):
    """The label handling of `BornAgainModel`.

    Attributes:
        check_data: Whether data is looked at before training; see `data_checks`.
        distill_void: Whether positions without a label learn from the teacher.
        assumes_loss: Whether a step has used the label cross-entropy, as no loss was compiled.
    """

    check_data: bool = True
    train_function: Any  # Keras's, like the next
    test_function: Any
    distill_void: bool = True
    _doubt: str | None = None  # what is wrong with the labels if no loss was compiled
    _asserts = False  # whether steps that are made check labels outside of XLA
    assumes_loss = False

    @property
    def has_loss(self) -> bool:
        """Whether there is a loss: compiled, or in the student's own `compute_loss`."""
        own = student_code.overrides(self.student, "compute_loss")
        return own or getattr(self, "loss", None) is not None

    def _check_smoothing(self, names: list[str]) -> None:
        """Checks that the label smoothing of an objective is that of a loss which labels go to.

        Args:
            names: The names of all outputs.

        Raises:
            InputError: There are other losses, which would leave it without effect.
        """
        if not self.has_loss:
            return
        smoothed = {
            name: {getattr(loss, "label_smoothing", 0.0) for loss in losses}
            for name, losses in self.compared_losses(names).items()
        }
        anywhere = set().union(*smoothed.values())
        for name in matching.learning(self.objective, names):
            objective = matching.objective_of(self.objective, name)
            smoothing = getattr(objective, "label_smoothing", 0.0)
            single = objective is self.objective  # for all outputs, of which some have no classes
            if smoothing and smoothing not in (anywhere if single else smoothed.get(name, ())):
                raise InputError(
                    f"`label_smoothing` of the objective is {smoothing:g}, which is for the loss "
                    "without `compile(loss=...)`; leave `loss` out, or give it `label_smoothing`."
                )

    def compared_losses(self, names: list[str]) -> dict[str, list[Any]]:
        """Returns the compiled losses that labels are given to, by output."""
        if student_code.overrides(self.student, "compute_loss"):
            return {}
        return targets.losses_by_output(getattr(self, "loss", None), names)

    def label_reading_outputs(self, names: Iterable[str]) -> set[str]:
        """Returns the outputs among these whose labels the objective looks at."""
        if not self._is_taught:
            return set()
        return {
            name
            for name in matching.learning(self.objective, names)
            if matching.objective_of(self.objective, name).needs_labels
        }

    def _check(self, x: Any, y: Any, sample_weight: Any = None) -> None:
        """Checks data before training or evaluation.

        Raises:
            InputError: It is certainly wrong.
        """
        self._doubt_labels(data_checks.check_data(self, x, y, sample_weight))

    def _doubt_labels(self, doubt: str | None) -> None:
        if doubt and self.assumes_loss:
            raise InputError(doubt)
        self._doubt = self._doubt or doubt

    @contextlib.contextmanager
    def _checking(self) -> Iterator[None]:
        """Converts errors about labels in a step to `InputError`."""
        try:
            with data_checks.labels_in_range(self):
                yield
        finally:
            self._doubt = None

    def _labels_of(self, labels: Any, names: list[str]) -> matching.Labels:
        """Returns the labels of a batch, for the objective.

        Raises:
            InputError: The objective needs them, and it is unclear to which output they belong.
        """
        loss = getattr(self, "loss", None)
        void = targets.void_of(loss, names)
        try:
            by_name = targets.by_output(labels, names, loss)
            losses = self.compared_losses(names)
            by_name = {
                name: targets.unsigned(values, losses.get(name, []))
                for name, values in by_name.items()
            }
        except InputError:
            if self.label_reading_outputs(names) or not self.distill_void:
                raise
            by_name = {}
        return matching.Labels(by_name, void, self.distill_void)

    def _default_label_loss(
        self,
        labels: Any,
        students: Mapping[str, matching.StudentOutput],
        sample_weight: Any,
        counts: bool,
    ) -> Any:
        """Returns the label cross-entropy that trains a model that was compiled without a loss.

        Args:
            labels: As the user gave them.
            students: The student's outputs by name.
            sample_weight: As the user gave it, or None.
            counts: Whether the label term counts; if not, values are left out.

        Returns:
            A scalar; None where all outputs are values.

        Raises:
            InputError: It is not for such labels.
        """
        self.assumes_loss = True
        by_name = targets.by_output(labels, list(students))
        regressions = [name for name in by_name if students[name].kind == VALUES]
        if self._doubt or (regressions and counts):
            raise InputError(
                self._doubt
                or f"Output {regressions[0]!r} gives values, which are no classes. "
                f"{data_checks.NO_LOSS}"
            )
        by_name = {name: label for name, label in by_name.items() if name not in regressions}
        if regressions and not by_name:
            return None
        return matching.label_loss(self._default_loss, by_name, students, sample_weight)

    def _adds_losses(self) -> bool:
        """Whether the student has losses of its own from `add_loss`, beside regularization."""
        return added_losses.has_own(self)

    def _counting_losses(self) -> contextlib.AbstractContextManager[None]:
        """Within it, the student is called; only where no loss is compiled does it matter."""
        compiled = keras_private.compiled_loss(self) is not None
        return contextlib.nullcontext() if compiled else added_losses.counting(self.student)

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the training function; under JAX it checks labels first."""
        made = self.train_function
        with self._asserting_labels():
            super().make_train_function(force)
        if self.train_function is not made:
            self.train_function = self._after_a_look(self.train_function)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """Makes the evaluation function; under JAX it checks labels first."""
        made = self.test_function
        with self._asserting_labels():
            super().make_test_function(force)
        if self.test_function is not made:
            self.test_function = self._after_a_look(self.test_function)
        return self.test_function

    @contextlib.contextmanager
    def _asserting_labels(self) -> Iterator[None]:
        """Makes steps that are made inside the block check labels if XLA compiles them."""
        # XLA drops the assertions in a step; on several replicas, these are no single tensors.
        self._asserts = bool(self.jit_compile) and not several(self)
        try:
            yield
        finally:
            self._asserts = False

    def around_step(self, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Returns the step on a batch, followed by a check of its labels if XLA compiles it."""
        if not self._asserts:
            return step

        def checked(data: Any) -> Any:
            results = step(data)
            _, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
            data_checks.assert_labels(self, self._labels_alone(labels))
            return results

        return checked

    def _after_a_look(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if keras.backend.backend() != "jax":
            return function  # TensorFlow checks labels in the step itself, or right after it
        return lambda state, batches: function(state, self._looked_at(batches))

    def _looked_at(self, batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            _, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
            labels = labels["labels"] if teachers.is_recorded(labels) else labels
            self._doubt_labels(data_checks.check_labels(self, labels))
            yield batch
