"""A model that wraps another one for `fit`: its outputs, weights, layers, metrics and code.

Keras trains this model, the user's own stays as it was given. Without a teacher the two cannot be
distinguished: equal histories, `evaluate` in the same order, the same weights in `get_weights`.
"""

from __future__ import annotations

from typing import Any

import keras

from ban_tf.compat import keras_private, measured, student_code
from ban_tf.compat import model_checks as checks
from ban_tf.compat.keras_distribution import DistributedModel, several


class StudentProxy(DistributedModel):
    """A `keras.Model` around a student that runs the student's own code where it has any.

    Args:
        student: The model to train; any Keras model.
        **options: Further arguments of `keras.Model`.

    Raises:
        InputError: The student has a training or evaluation step of its own, or its own
            `compute_loss` and several replicas.
    """

    def __init__(self, student: keras.Model, **options: Any):
        checks.check_student(student)
        student_code.check_steps(student)
        # Loss scaling follows the student's policy; its inputs are not cast.
        options.setdefault("dtype", student.dtype_policy)
        super().__init__(**options)
        if several(self):
            student_code.check_replicas(student)
        self.autocast = False
        keras_private.take_inputs_as_given(self)
        self.student = student

    def build(self, input_shape: Any) -> None:
        """Builds the student; a subclass builds itself when it is called."""
        if isinstance(self.student, keras.Sequential) and not self.student.built:
            self.student.build(input_shape)
        self.built = True

    @property
    def output_names(self) -> list[str]:
        """The student's output names, by which `compile` matches losses and metrics."""
        return self.student.output_names

    @property
    def layers(self) -> list[keras.Layer]:
        """The student's layers, as callbacks look for them; `get_layer` finds these, too."""
        return self.student.layers

    @layers.setter
    def layers(self, layers: Any) -> None:
        keras.Model.layers.fset(self, layers)  # which says that the name is reserved

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the student's own outputs."""
        return self.student(inputs, training=training)

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Compiles the model as `keras.Model.compile`, or the student's own `compile`, does."""
        if not student_code.overrides(self.student, "compile"):
            super().compile(*arguments, **options)
            return
        self.student.compile(*arguments, **options)
        if self.student.compiled:
            super().compile(**keras_private.compile_arguments(self.student))

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile`, serialized; the student's if it has its own."""
        own = student_code.overrides(self.student, "compile")
        return self.student.get_compile_config() if own else super().get_compile_config()

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model as it was compiled when it was saved."""
        if student_code.overrides(self.student, "compile"):
            # It may come with a `compile_from_config`; if not, Keras says that it is needed.
            self.student.compile_from_config(config)
            if not self.student.compiled:
                return
            super().compile(**keras_private.compile_arguments(self.student))
        else:
            super().compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The student's compiled metrics, then `further_metrics`."""
        if getattr(self, "student", None) is None:  # PyTorch keeps it outside of `__dict__`
            return []
        with self._lend():
            return [*self.student.metrics, *self.further_metrics]

    @property
    def further_metrics(self) -> list[keras.metrics.Metric]:
        """Metrics beside the student's."""
        return []

    def reset_metrics(self) -> None:
        """Resets all metrics."""
        with self._lend():
            self.student.reset_metrics()
        for metric in self.further_metrics:
            metric.reset_state()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict:
        """Updates the student's metrics on the labels, if any, and returns all results by name."""
        if y is not None:
            compiled = keras_private.compiled_metrics(self)
            measured.note(compiled, *self._losses_by_output())
        with self._lend(compiled_metrics=y is not None):
            results = self.student.compute_metrics(x, y, y_pred, sample_weight=sample_weight)
        return self._reported(results)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the metrics by name, omitting those that were not updated."""
        compiled = keras_private.compiled_metrics(self)
        with self._lend(compiled_metrics=compiled is None or measured.updated(compiled)):
            results = self.student.get_metrics_result()
        return self._reported(results)

    def _reported(self, results: dict[str, Any]) -> dict[str, Any]:
        """Returns results, without losses of outputs that have no labels, and further ones."""
        missing = {mean.name for mean in self._losses_by_output() if not measured.updated(mean)}
        known = {name: value for name, value in results.items() if name not in missing}
        further = [metric for metric in self.further_metrics if measured.updated(metric)]
        return {**known, **{metric.name: metric.result() for metric in further}}

    def _losses_by_output(self) -> list[keras.metrics.Metric]:
        """The metrics of a compiled loss that has several outputs."""
        compiled = keras_private.compiled_loss(self)
        return [] if compiled is None else compiled.metrics

    def predict(self, *arguments: Any, **options: Any) -> Any:
        """Returns the student's outputs, by its own `predict` if it has one."""
        own = student_code.overrides(self.student, "predict")
        predict = self.student.predict if own else super().predict
        return predict(*arguments, **options)

    def predict_step(self, *state_and_data: Any) -> Any:
        """Returns the outputs for a batch, by the student's own `predict_step` if it has one."""
        if student_code.overrides(self.student, "predict_step"):
            return student_code.predict_step(self, self.student, *state_and_data)
        return super().predict_step(*state_and_data)

    def export(self, *arguments: Any, **options: Any) -> None:
        """Exports the student, as `model.student.export` does."""
        self.student.export(*arguments, **options)

    def _lend(self, compiled_metrics: bool = True) -> Any:
        return student_code.lend(self, self.student, compiled_metrics)
