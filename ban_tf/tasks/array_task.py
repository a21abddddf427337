"""What tasks have in common whose examples fit into memory, one array or dictionary of arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ban_tf.compat import keras_distribution, outputs
from ban_tf.datasets import class_weights, example_batches
from ban_tf.datasets.example_batches import Examples
from ban_tf.distillation import teacher_names
from ban_tf.distillation.recorded_teacher import RecordedTeacher
from ban_tf.lineage.lineage import Lineage
from ban_tf.metrics import summary
from ban_tf.runs.rundir import RunDirectory
from ban_tf.system import seeds
from ban_tf.tasks import (
    class_scores,
    data_facts,
    given_outputs,
    kept_predictions,
    recording_choice,
    teacher_passes,
)
from ban_tf.tasks.task import Task

# Training examples for `--analyse`.
_ANALYZED = 1000
_EVALUATED = 500  # examples in a batch


class ArrayTask(Task):
    """A task on examples in memory; a subclass loads them, and measures its models.

    Attributes:
        train: The training examples.
        validation: The validation examples; may be none.
        test: The test examples.
    """

    train: Examples
    validation: Examples
    test: Examples
    _class_weights: np.ndarray | None = None
    _recording: given_outputs.GivenOutputs | None = None  # the teacher of generation 0, if any

    def weigh(self, class_names: Sequence[str]) -> None:
        """Weighs training examples by `--class_weight`, if it is given; called after loading."""
        given = self.options.class_weight
        if given:
            self._class_weights = class_weights.weights(given, self.train.labels, class_names)

    @property
    def labels(self) -> list[np.ndarray]:
        """The labels of the training, validation and test examples."""
        return [part.labels for part in (self.train, self.validation, self.test)]

    def identity_by(self, content: str, class_names: Sequence[str] = ()) -> dict[str, str]:
        """Returns what identifies the data and the weights of classes, for `identity`.

        Args:
            content: As for `data_facts.identity`.
            class_names: Likewise.
        """
        return {
            **data_facts.identity(content, self.labels, class_names),
            **class_weights.identity(self.options.class_weight, self._class_weights),
        }

    def open(self, directory: RunDirectory) -> None:
        """Decides whether the outputs of teachers are recorded, in memory."""
        self.recorded = recording_choice.is_recorded(self.options, directory)

    def steps_per_epoch(self) -> int:
        """Returns the number of full batches in an epoch."""
        return example_batches.steps_per_epoch(self.train, self.options.batch_size)

    def first_teacher(self) -> tuple[Any, str] | None:
        """Returns the recording of `--teacher_from`, which teaches generation 0."""
        given = self.options.teacher_from
        if not given or teacher_names.is_first_model(vars(self.options)):
            return None
        given_outputs.check_alone(given, "record the mean of them with ban_tf.record")
        self._recording = self.read_recording(given)
        return RecordedTeacher(), self._recording.describe()

    def read_recording(self, name: str) -> given_outputs.GivenOutputs:
        """Reads a recording for the training examples.

        Args:
            name: The value of `--teacher_from`.

        Raises:
            InputError: It is of other examples or outputs, or cannot be read.
        """
        raise NotImplementedError

    def _taught(self, generation: int, *teacher: Any) -> Callable[..., tuple[Any, Any]] | None:
        """Returns what adds the outputs of a recorded teacher to batches, if there is one."""
        given = None if generation else self._recording
        outputs = None if given is None else given.outputs
        if any(teacher):
            outputs = self._record(teacher[0], self.train)
        if outputs is None:
            return None
        recorded = ops.convert_to_tensor(outputs)

        def taught(epoch: Any, chosen: Any, inputs: Any, labels: Any) -> tuple[Any, Any]:
            on_host = isinstance(chosen, np.ndarray)
            found = outputs[chosen] if on_host else ops.take(recorded, chosen, axis=0)
            return inputs, {"labels": labels, "teacher_logits": found}

        return taught

    def _record(self, teacher: Any, examples: Examples) -> np.ndarray:
        """Returns the joint logits or values of a teacher, float32 `[examples, units]`."""
        predict = teacher_passes.predictor(teacher, self.output_kind)
        batches = example_batches.evaluation_batches(examples, _EVALUATED)
        return np.concatenate([predict(inputs) for inputs, _ in batches])

    def _finish(self, batches: Any) -> Any:
        return class_weights.weighted(batches, self._class_weights)

    def training_batches(self, generation: int, epoch: int, step: int, *teacher: Any) -> Any:
        """Returns shuffled examples, from a step of an epoch on, without end."""
        batches = functools.partial(
            example_batches.training_batches,
            self.train,
            batch_size=self.options.batch_size,
            seed=seeds.derive_seed(self.options.seed, "data", generation),
            first_epoch=epoch,
            first_step=step,
            change=self._taught(generation, *teacher),
        )
        return keras_distribution.as_data(
            self.workers.distribute_dataset(lambda **share: self._finish(batches(**share)))
        )

    def validation_batches(self) -> Any:
        """Returns the validation examples in order."""
        if not len(self.validation.labels):
            return None
        return self._validation if self.recorded else self._validation(0)

    def _validation(self, generation: int, *teacher: Any) -> Any:
        """Returns the validation examples for a generation, with its recorded teacher if any."""
        examples = self.validation
        if any(teacher):
            outputs = self._record(teacher[0], examples)
            labels: Any = {"labels": examples.labels, "teacher_logits": outputs}
            examples = examples._replace(labels=labels)
        return example_batches.evaluation_batches(examples, _EVALUATED)

    def analyzed_batches(self) -> Any:
        """Returns the first training examples."""
        some = self.train.select(np.arange(min(_ANALYZED, len(self.train.labels))))
        return example_batches.evaluation_batches(some, min(self.options.batch_size, _ANALYZED))

    def outputs(self, model: keras.Model, examples: Examples) -> np.ndarray:
        """Returns what a model predicts for examples in order, `[examples, ...]`."""
        batches = example_batches.evaluation_batches(examples, _EVALUATED)
        return np.asarray(model.predict(batches.map(lambda inputs, labels: inputs), verbose=0))

    # For classifiers.

    def log_probabilities(self, model: keras.Model, examples: Examples) -> np.ndarray:
        """Returns a classifier's log-probabilities, `[examples, classes]`."""
        return outputs.log_probabilities(
            self.outputs(model, examples), outputs.first_activation(model)
        )

    def class_predictions(
        self, lineage: Lineage, directory: RunDirectory, classes: int
    ) -> list[np.ndarray]:
        """Returns each generation's log-probabilities on the test examples; they are stored."""
        return kept_predictions.of_generations(
            lineage,
            directory,
            (len(self.test.labels), classes),
            lambda model: self.log_probabilities(model, self.test),
        )

    def class_rows(
        self, predictions: list[np.ndarray], groups: list[list[int]]
    ) -> list[dict[str, Any]]:
        """Returns the metrics of classifiers and of their ensembles; see `Task.rows`."""
        return summary.rows(predictions, groups, self.test.labels, self.options.ensemble_average)

    def class_improved(self, lineage: Lineage) -> bool:
        """Returns whether the validation error of a classifier fell; see `Task.improved`."""
        labels, monitor = self.validation.labels, self.options.monitor
        return class_scores.improved(lineage, self._validated_classes, labels, monitor)

    def _validated_classes(self, model: keras.Model) -> np.ndarray:
        return self.log_probabilities(model, self.validation)

    def class_validation(self, lineage: Lineage, groups: list[list[int]]) -> list[float] | None:
        """Returns the validation errors of classifiers; see `Task.validation_scores`."""
        labels, average = self.validation.labels, self.options.ensemble_average
        predict = self._validated_classes
        return class_scores.validation_scores(lineage, groups, predict, labels, average)
