"""`BornAgainModel`: one student learning from one teacher, through `keras.Model.fit`.

What it adds to `keras.Model` is the teacher and nothing else. Each step

1. takes the teacher signal for the batch, outside the gradient tape;
2. hands it on beside the labels to Keras's own `train_step`, so that loss scaling, gradient
   accumulation, distribution and whatever Keras adds later stay Keras's;
3. in `compute_loss`, adds the teacher term to the label term and the regularisation losses.

The teacher's weights are nowhere among the student's, and `student.student` is the plain
Keras model that the user gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from ban_tf import distribute, objectives, outputs, teachers


class Target(NamedTuple):
    """What a student learns from: the labels, and the teacher's logits by output name."""

    labels: Any
    teacher_logits: dict[str, Any]


@keras.saving.register_keras_serializable("ban_tf")
class BornAgainModel(keras.Model):
    """A Keras model in training with a teacher (Furlanello et al., 2018).

    The loss is `label_weight * (compiled loss) + teacher_weight * (objective)` plus the
    student's regularisation losses. Without a teacher it is the compiled loss alone, weighted
    by one: generation 0. Every other thing that `fit`, `evaluate` and `predict` do, they do as
    for the student itself.

    Example:
        ```python
        student = ban_tf.BornAgainModel(my_model(), teacher=teacher, objective="kd")
        student.compile(optimizer="sgd", metrics=["accuracy"])
        student.fit(train, validation_data=validation, epochs=30)
        student.student.save("born_again.keras")
        ```

    Args:
        student: The model to train; any Keras model.
        teacher: A Keras model, a path to a `.keras` file, a list of either (their mean
            distribution), `ban_tf.RecordedTeacher()`, or None.
        objective: What to match: an `objectives.Objective`, its name ("kd", "cwtm", "dkpp",
            ...; "kd+labels" adds the label term), a function
            `(labels, teacher_logits, student_logits) -> loss per sample`, or a dictionary from
            output names to any of these, for a model of which only some outputs are distilled.
        label_weight: Weight of the compiled loss; by default what the objective's name says
            (0 for "kd", 1 for "kd+labels").
        teacher_weight: Weight of the objective.
        temperature: Shorthand for the objective's own temperature.
        student_activation: "linear", "softmax" or "sigmoid" where detecting what the
            student's outputs are would err.
        teacher_activation: The same for the teacher.
        seed: Seed of the objective's own draws (DKPP's permutations).

    Raises:
        ValueError: A weight is negative, or teacher and student do not fit together.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: Any = None,
        objective: Any = "kd",
        *,
        label_weight: float | None = None,
        teacher_weight: float = 1.0,
        temperature: float | None = None,
        student_activation: str | None = None,
        teacher_activation: str | None = None,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        _check_arguments(label_weight, teacher_weight, student_activation, teacher_activation)
        self.student = student
        self.objective, default_label_weight = objectives.resolve(
            objective, temperature=temperature
        )
        self.label_weight = default_label_weight if label_weight is None else float(label_weight)
        self.teacher_weight = float(teacher_weight)
        self.student_activation = student_activation
        self.teacher_activation = teacher_activation
        # A variable, so that one traced step serves generations of different seeds.
        self._seed = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="seed"
        )
        self.seed = seed
        self._default_loss = objectives.LabelCrossEntropy(
            label_smoothing=getattr(self.objective, "label_smoothing", 0.0)
        )
        # Labels alone, as the null hypothesis, need nobody to teach.
        self.teacher = teacher if getattr(self.objective, "needs_teacher", True) else None
        self._label_loss = keras.metrics.Mean(name="label_loss")
        self._teacher_loss = keras.metrics.Mean(name="teacher_loss")
        self._agreement = keras.metrics.Mean(name="teacher_agreement")
        if student.built:
            self.built = True

    def __setattr__(self, name: str, value: Any) -> None:
        """Keeps Keras from finding a teacher's layers, and taking them for the student's own.

        `teacher` may be assigned whatever `__init__` takes.
        """
        if name == "teacher":
            value = teachers.as_teacher(value, self.teacher_activation)
            _check_teacher(value, self.student)
        super().__setattr__(name, value)

    @property
    def seed(self) -> int:
        """Seed of the objective's own draws."""
        return int(self._seed)

    @seed.setter
    def seed(self, seed: int) -> None:
        self._seed.assign(seed)

    def build(self, input_shape: Any) -> None:
        """Builds the student."""
        if not self.student.built:
            self.student.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the student's own outputs."""
        return self.student(inputs, training=training)

    def train_step(self, *state_and_data: Any) -> Any:
        """Keras's training step, with the teacher's opinion of the batch beside the labels."""
        *state, data = state_and_data  # JAX passes its state along
        return super().train_step(*state, self._with_teacher(data))

    def test_step(self, *state_and_data: Any) -> Any:
        """Keras's evaluation step, with the teacher's opinion of the batch beside the labels."""
        *state, data = state_and_data
        return super().test_step(*state, self._with_teacher(data))

    def _with_teacher(self, data: Any) -> Any:
        if self.teacher is None:
            return data
        inputs, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        labels, logits = self.teacher.split(inputs, labels)
        return inputs, labels if logits is None else Target(labels, logits), sample_weight

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the total loss, a scalar: label term, teacher term, regularisation."""
        target = y if isinstance(y, Target) else Target(y, {})
        # A batch without a teacher signal has the labels to go by.
        label_weight = self.label_weight if target.teacher_logits else 1.0
        terms = []
        # Labels that do not count are still worth reporting, where it costs next to nothing.
        if label_weight or not training:
            label_loss = self._label_term(target.labels, y_pred, sample_weight)
            self._track(self._label_loss, label_loss, y_pred)
            if label_weight:
                terms.append(label_loss if label_weight == 1.0 else label_weight * label_loss)
        if target.teacher_logits:
            teacher_loss = self._teacher_term(target, y_pred, sample_weight)
            self._track(self._teacher_loss, teacher_loss, y_pred)
            terms.append(self.teacher_weight * teacher_loss)
        terms.extend(self._aggregate_additional_loss(each) for each in self.losses)
        return terms[0] if len(terms) == 1 else ops.sum(terms)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict:
        """Updates the compiled metrics on the labels, and returns all results by name."""
        labels = y.labels if isinstance(y, Target) else y
        return super().compute_metrics(x, labels, y_pred, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the metrics by name, leaving out those that nothing was measured for."""
        results = super().get_metrics_result()
        if self.teacher is None:
            results = {
                name: value
                for name, value in results.items()
                if name not in ("teacher_loss", "teacher_agreement")
            }
        return results

    def _label_term(self, labels: Any, y_pred: Any, sample_weight: Any) -> Any:
        if self._compile_loss is not None:
            return self._compile_loss(labels, y_pred, sample_weight)
        labels, weights = outputs.named(labels, self._output_names()), self._weights(sample_weight)
        return sum(
            self._default_loss(labels[name], _keep_mask(logits, output), weights.get(name))
            for name, (output, logits) in self._student_logits(y_pred).items()
        )

    def _teacher_term(self, target: Target, y_pred: Any, sample_weight: Any) -> Any:
        labels = outputs.named(target.labels, self._output_names())
        weights = self._weights(sample_weight)
        total = 0.0
        for name, (output, logits) in self._student_logits(y_pred).items():
            objective = self._objective_for(name)
            teacher_logits = _signal_for(name, target.teacher_logits)
            if objective is None or teacher_logits is None:
                continue
            seed = ops.stack([ops.cast(self._seed, "int32"), ops.cast(self._step(), "int32")])
            weight = weights.get(name)
            counted = _combine(weight, getattr(output, "_keras_mask", None), logits[..., 0])
            losses = objective.losses(
                labels.get(name), teacher_logits, logits, sample_weight=counted, seed=seed
            )
            batch_weights = objective.weights(labels.get(name), teacher_logits)
            if batch_weights is not None:
                losses = losses * objectives.normalise(
                    batch_weights, counted, distribute.sum_over_replicas
                )
            total = total + _per_sample(losses, output, weight)
            agree = ops.argmax(logits, axis=-1) == ops.argmax(teacher_logits, axis=-1)
            agree = ops.cast(agree, "float32")
            mask = _combine(None, getattr(output, "_keras_mask", None), agree)
            self._agreement.update_state(agree, sample_weight=mask)
        return total

    def _student_logits(self, y_pred: Any) -> dict[str, tuple[Any, Any]]:
        """Each output by name, as it came and as logits."""
        detected = outputs.final_activations(self.student)
        return {
            name: (
                output,
                outputs.to_logits(output, self.student_activation or detected.get(name, "linear")),
            )
            for name, output in outputs.named(y_pred, self._output_names()).items()
        }

    def _output_names(self) -> list[str] | None:
        return outputs.output_names(self.student)

    def _weights(self, sample_weight: Any) -> dict[str, Any]:
        """Sample weights by output: one array given for all of them counts for each."""
        names = self._output_names() or ["output_0"]
        if sample_weight is None or isinstance(sample_weight, (dict, list, tuple)):
            return outputs.named(sample_weight, names)
        return dict.fromkeys(names, sample_weight)

    def _objective_for(self, name: str) -> objectives.Objective | None:
        if isinstance(self.objective, Mapping):
            return self.objective.get(name)
        return self.objective

    def _step(self) -> Any:
        return 0 if self.optimizer is None else self.optimizer.iterations

    def _track(self, tracker: keras.metrics.Metric, loss: Any, y_pred: Any) -> None:
        batch = ops.shape(keras.tree.flatten(y_pred)[0])[0]
        tracker.update_state(loss * distribute.replica_count(), sample_weight=batch)

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration; the teacher is not part of it."""
        return {
            **super().get_config(),
            "student": keras.saving.serialize_keras_object(self.student),
            "objective": keras.saving.serialize_keras_object(self.objective),
            "label_weight": self.label_weight,
            "teacher_weight": self.teacher_weight,
            "student_activation": self.student_activation,
            "teacher_activation": self.teacher_activation,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        """Makes the model again; assign `teacher` before training on."""
        config = dict(config)
        config["student"] = keras.saving.deserialize_keras_object(config["student"], custom_objects)
        return cls(**config)


class PerSample(keras.losses.Loss):
    """Keras's own reduction (weights, masks, replicas) of values that are losses already."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses, which come in the place of labels, as they are."""
        return y_true


def _per_sample(losses: Any, output: Any, sample_weight: Any) -> Any:
    return PerSample(name="per_sample", dtype="float32")(losses, output, sample_weight)


def _keep_mask(logits: Any, output: Any) -> Any:
    mask = getattr(output, "_keras_mask", None)
    if mask is not None:
        logits._keras_mask = mask
    return logits


def _combine(sample_weight: Any, mask: Any, like: Any) -> Any:
    """Sample weight times mask, `like`'s shape `[batch, ...]`; None if there is neither."""
    combined = None
    for each in (sample_weight, mask):
        if each is None:
            continue
        each = ops.cast(each, like.dtype)
        while len(each.shape) > len(like.shape):
            each = ops.squeeze(each, axis=-1)
        while len(each.shape) < len(like.shape):
            each = ops.expand_dims(each, axis=-1)
        combined = each if combined is None else combined * each
    return None if combined is None else ops.broadcast_to(combined, ops.shape(like))


def _signal_for(name: str, teacher_logits: dict[str, Any]) -> Any:
    """The teacher's logits for an output; one unnamed output on each side is a match."""
    if name in teacher_logits:
        return teacher_logits[name]
    return next(iter(teacher_logits.values())) if len(teacher_logits) == 1 else None


def _check_arguments(
    label_weight: float | None,
    teacher_weight: float,
    student_activation: str | None,
    teacher_activation: str | None,
) -> None:
    weights = {"label_weight": label_weight, "teacher_weight": teacher_weight}
    for name, weight in weights.items():
        if weight is not None and not 0 <= weight < float("inf"):
            raise ValueError(f"`{name}` must be a finite number of at least 0. Received: {weight}")
    for name, activation in (
        ("student_activation", student_activation),
        ("teacher_activation", teacher_activation),
    ):
        if activation is not None and activation not in outputs.ACTIVATIONS:
            raise ValueError(
                f"`{name}` must be one of {', '.join(outputs.ACTIVATIONS)}, or None to detect it. "
                f"Received: {activation!r}"
            )


def _check_teacher(teacher: teachers.Teacher | None, student: keras.Model) -> None:
    """Compares what is known of both models before any training starts."""
    own = {id(variable) for variable in student.variables}
    for model in getattr(teacher, "models", []):
        if model is student or any(id(each) in own for each in model.variables):
            raise ValueError(
                "`teacher` shares weights with the student, so that it would change while it "
                "teaches; give a copy: keras.models.clone_model(...) with set_weights(...)."
            )
        theirs, ours = getattr(model, "output_shape", None), getattr(student, "output_shape", None)
        if isinstance(theirs, tuple) and isinstance(ours, tuple) and theirs[-1] != ours[-1]:
            raise ValueError(
                f"`teacher` tells {theirs[-1]} classes apart where the student has {ours[-1]}; "
                "both need the same classes."
            )
