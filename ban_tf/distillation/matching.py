"""The terms of a student's loss, over all of its outputs: of labels, and of a teacher."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from ban_tf import objectives
from ban_tf.compat import distribute, masks, outputs, weighting
from ban_tf.compat import model_checks as checks
from ban_tf.compat.loss_kinds import CATEGORICAL, VALUES
from ban_tf.compat.output_kinds import Evidence, resolve
from ban_tf.distillation import targets, teachers
from ban_tf.distillation.mapped_teacher import Partial
from ban_tf.errors import InputError
from ban_tf.objectives.label_forms import VOID


class StudentOutput(NamedTuple):
    """One output of a student.

    Attributes:
        output: As it came, with Keras's mask.
        logits: As from `outputs.to_logits`; of values, the values.
        kind: "categorical", "binary" or "values".
        units: Entries of the output's last axis.
        end: The student's last activation, or None if unknown.
    """

    output: Any
    logits: Any
    kind: str = CATEGORICAL
    units: int | None = None
    end: str | None = None


class Labels(NamedTuple):
    """The labels of a batch.

    Attributes:
        by_output: As the user gave them, by output.
        void: The label that stands for none, by output.
        distill_void: Whether an objective that reads no labels counts where there is none.
    """

    by_output: Mapping[str, Any]
    void: Mapping[str, int]
    distill_void: bool = True


def outputs_of(
    y_pred: Mapping[str, Any], evidence: Mapping[str, Evidence], names: Collection[str]
) -> dict[str, StudentOutput]:
    """Returns a student's outputs by name.

    Args:
        y_pred: Its outputs by name.
        evidence: What is known of each.
        names: The outputs that are needed.

    Raises:
        InputError: What one of them means is in doubt, or contradicts itself.
    """
    found = {}
    for name in names:
        output = y_pred[name]
        kind, activation = resolve(evidence[name])
        logits = outputs.to_logits(output, activation, kind)
        found[name] = StudentOutput(output, logits, kind, evidence[name].units, evidence[name].end)
    return found


def label_loss(
    loss: keras.losses.Loss,
    labels: Mapping[str, Any],
    students: Mapping[str, StudentOutput],
    sample_weight: Any,
) -> Any:
    """Returns the sum of a loss over the outputs that there are labels for, a scalar.

    Args:
        loss: Takes labels and logits.
        labels: By output.
        students: All outputs of the student.
        sample_weight: As the user gave it, or None.
    """
    weights = weighting.by_output(sample_weight, list(students))
    return sum(
        weighting.mean(
            loss,
            labels[name],
            masks.with_mask(student.logits, masks.mask_of(student.output)),
            weights.get(name),
        )
        for name, student in students.items()
        if name in labels
    )


def fitting(objective: Any, kinds: Mapping[str, str]) -> dict[str, objectives.Objective]:
    """Returns the objective of each output that learns from a teacher, fit for its kind.

    Args:
        objective: One for all outputs, or a dictionary from names to objectives.
        kinds: The kinds of the outputs, by name.

    Raises:
        InputError: An objective is not for outputs of that kind, or has a temperature where all
            outputs are values.
    """
    by_name = objective if isinstance(objective, Mapping) else dict.fromkeys(kinds, objective)
    by_name = {name: by_name[name] for name in kinds if by_name.get(name) is not None}
    softened = {id(one) for name, one in by_name.items() if kinds[name] != VALUES}
    for name, one in by_name.items():
        temperature = one.temperature
        if id(one) not in softened and isinstance(temperature, float) and temperature != 1.0:
            raise InputError(
                f"`temperature` is {temperature:g}, but the output {name!r} is a regression "
                "(values), which has none; leave it out."
            )
    return {name: one.for_kind(kinds[name], name) for name, one in by_name.items()}


def objective_of(objective: Any, name: str) -> objectives.Objective:
    """Returns the objective of an output that learns from a teacher."""
    return objective[name] if isinstance(objective, Mapping) else objective


def learning(objective: Any, names: Iterable[str]) -> list[str]:
    """Returns the names of the outputs that learn from a teacher."""
    if not isinstance(objective, Mapping):
        return list(names)
    return [name for name in names if objective.get(name) is not None]


def signals(
    teacher: teachers.Teacher,
    given: Mapping[str, Any],
    students: Mapping[str, StudentOutput],
    names: list[str],
    student: keras.Model,
) -> dict[str, Any]:
    """Returns what a teacher has to say on each of the student's outputs, ready to be matched.

    Args:
        teacher: The teacher.
        given: What its `split` returned.
        students: The outputs that learn from it.
        names: The names of all outputs of the student.
        student: The student.

    Raises:
        InputError: It lacks an output, or has another kind or number of units.
    """
    counted = counted_names(teacher, student)
    theirs = outputs.aligned({name: name for name in given}, names, counted)
    if not set(students) <= set(theirs):  # what is recorded may be no more than these
        theirs = outputs.aligned(theirs, list(students), counted)
    found = {}
    for name, output in students.items():
        checks.check_teacher_output(name, theirs)
        found[name] = teacher.signal(given[theirs[name]], theirs[name], output)
        sizes = found[name].shape[-1], output.logits.shape[-1]
        if output.kind != VALUES:
            checks.check_classes(*sizes)
        elif sizes[0] != sizes[1]:
            raise InputError(
                f"`teacher` gives {sizes[0]} values where the student has {sizes[1]} (output "
                f"{name!r}); both need the same."
            )
    return found


def counted_names(teacher: Any, student: keras.Model) -> set[str]:
    """Returns the automatic names of Keras among the outputs of a teacher and its student.

    Outputs that are given by name, as recorded ones, have none.
    """
    models = getattr(teachers.parts_of(teacher)[0], "models", [])[:1]
    return outputs.counted_names(*models, student) if models else set()


def teacher_loss(
    objective: Any,
    labels: Labels,
    theirs: Mapping[str, Any],
    students: Mapping[str, StudentOutput],
    *,
    names: list[str],
    sample_weight: Any,
    seed: Any,
    watch: Callable[[Any, Any], None],
) -> Any:
    """Returns the sum of the objective over the outputs that learn from the teacher, a scalar.

    Args:
        objective: One for all outputs, or a dictionary from names to objectives.
        labels: What they are, and which of them count.
        theirs: What the teacher has to say, as from `signals`.
        students: The student's outputs that learn from it.
        names: The names of all outputs of the student, by which weights are given.
        sample_weight: As the user gave it, or None.
        seed: Of this step's draws, see `Objective.losses`.
        watch: Is given, for each output that is no value, where both predict the same class (of
            binary units: the same side), `[batch, ...]`, and the mask or None.

    Raises:
        InputError: An objective is not for outputs of that kind.
    """
    weights = weighting.by_output(sample_weight, names)
    fit = fitting(objective, {name: student.kind for name, student in students.items()})
    total = 0.0
    for name, student in students.items():
        signal = theirs[name]
        if isinstance(signal, Partial):
            signal = signal.filled(student.logits, fit[name].temperature)
        sample = _without_void(fit[name], labels, name, student, signal)
        weight = weights.get(name)
        if student.kind != VALUES:
            # Not `==`, whose rank TensorFlow does not know where a batch has no known size.
            agree = ops.equal(*(ops.argmax(x, axis=-1) for x in (sample.logits, sample.theirs)))
            agree = ops.cast(agree, "float32")
            watch(agree, weighting.combine(None, sample.mask, agree))
        position = masks.with_mask(sample.logits[..., 0], sample.mask)
        losses = _losses(fit[name], sample, weighting.combine(weight, sample.mask, position), seed)
        # Outputs may have different precision.
        total = ops.add(total, weighting.reduce(losses, position, weight))
    return total


class _Sample(NamedTuple):
    """What an objective compares: labels or None, logits of both, and the mask of what counts."""

    labels: Any
    theirs: Any
    logits: Any
    mask: Any


def _without_void(
    objective: objectives.Objective, labels: Labels, name: str, student: StudentOutput, theirs: Any
) -> _Sample:
    """Returns what is compared, with a mask that leaves out positions without a label."""
    mask, logits = masks.mask_of(student.output), student.logits
    given = labels.by_output.get(name)
    counts_void = labels.distill_void and not objective.needs_labels
    if given is None or counts_void or student.kind == VALUES:
        return _Sample(given, theirs, logits, mask)
    given, valid = targets.without_void(given, labels.void.get(name, VOID), logits)
    if valid is None:
        return _Sample(given, theirs, logits, mask)
    # Zeros: a gradient that is left out must not be infinite times zero.
    theirs, logits = (
        ops.where(ops.expand_dims(valid, -1), array, ops.zeros_like(array))
        for array in (theirs, logits)
    )
    return _Sample(given, theirs, logits, masks.both(mask, valid))


def _losses(objective: objectives.Objective, sample: _Sample, counted: Any, seed: Any) -> Any:
    labels, theirs = sample.labels, sample.theirs
    losses = objective.losses(labels, theirs, sample.logits, sample_weight=counted, seed=seed)
    weights = objective.weights(labels, theirs)
    if weights is None:
        return losses
    # A global batch is one batch, however many replicas share it.
    normalized = objectives.normalize(weights, counted, distribute.sum_over_replicas)
    return losses * ops.cast(normalized, losses.dtype)
