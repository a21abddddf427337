"""The kinds of a student's outputs, and which of them learn from the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ban_tf.compat import keras_private, outputs, student_code
from ban_tf.compat import model_checks as checks
from ban_tf.compat.loss_kinds import KINDS
from ban_tf.compat.output_evidence import collect, kind_if_known, known
from ban_tf.compat.output_kinds import ACTIVATIONS, Evidence, check_declared
from ban_tf.distillation import matching, teachers

if TYPE_CHECKING:
    from ban_tf.distillation.taught_model import TaughtModel


def evidence(model: TaughtModel, called: Any = None) -> dict[str, Evidence]:
    """Returns the evidence for the kind of each output, by name.

    Args:
        model: The model around the student.
        called: Inputs of the student, and its outputs by name, once it was called.
    """
    found = collect(
        model.student,
        "student",
        loss=getattr(model, "loss", None),
        output_kind=model.output_kind,
        activation=model.student_activation,
        called=called,
    )
    if found:  # of a subclass, only a call shows the names
        check_declared("output_kind", model.output_kind, KINDS, list(found))
        check_declared("student_activation", model.student_activation, ACTIVATIONS, list(found))
    if student_code.overrides(model.student, "compute_loss"):  # which does not tell the kind
        found = {name: clues._replace(compiled=True) for name, clues in found.items()}
    if not isinstance(model.teacher, teachers.OnlineTeacher):
        return found
    counted = matching.counted_names(model.teacher, model.student)
    taught = outputs.aligned(model.teacher.compiled_kinds(), list(found), counted)
    return {name: clues._replace(taught=taught.get(name)) for name, clues in found.items()}


def known_kinds(model: TaughtModel) -> dict[str, str | None]:
    """Returns the kinds of the outputs by name; see `BornAgainModel.known_kinds`."""
    return {name: kind_if_known(clues) for name, clues in evidence(model).items()}


def check(model: TaughtModel, batch_size: int | None) -> None:
    """Checks that the objective can teach outputs of these kinds, as far as they are known.

    Raises:
        InputError: It cannot.
    """
    if not model._is_taught and not model.expects_teacher:
        return  # plain Keras, which needs no kinds
    collected = evidence(model)
    names = matching.learning(model.objective, collected)
    found = {name: known(collected[name]) for name in names if name in collected}
    kinds = {name: meaning.kind for name, meaning in found.items() if meaning is not None}
    matching.fitting(model.objective, kinds)
    checks.check_gradients(model.objective, kinds, shapes(model), batch_size)


def shapes(model: TaughtModel) -> dict[str, tuple]:
    """Returns the shapes of the outputs by name; nothing if they are not known."""
    return checks.output_shapes(model.student) or {}


def by_name(model: TaughtModel, y_pred: Any) -> dict[str, Any]:
    """Returns what the student returned, by the names of its outputs."""
    return outputs.named(y_pred, outputs.output_names(model.student))


def learning(model: TaughtModel, x: Any, y_pred: Any) -> dict[str, matching.StudentOutput]:
    """Returns the outputs that learn from a teacher; see `BornAgainModel.learning_outputs`."""
    named = by_name(model, y_pred)
    names = matching.learning(model.objective, named)
    found = matching.outputs_of(named, evidence(model, (x, named)), names)
    kinds = {name: output.kind for name, output in found.items()}
    matching.fitting(model.objective, kinds)
    found_shapes = {name: tuple(output.output.shape) for name, output in found.items()}
    checks.check_gradients(model.objective, kinds, found_shapes)
    return found


def used_outputs(
    model: TaughtModel, x: Any, y_pred: Any, distils: bool
) -> dict[str, matching.StudentOutput]:
    """Returns the outputs that are used beyond the compiled loss, by name.

    Args:
        model: The model around the student.
        x: What the student was called with.
        y_pred: What it returned.
        distils: Whether the batch has a teacher signal, or is to have one.
    """
    found = learning(model, x, y_pred) if distils else {}
    compiled = keras_private.compiled_loss(model) is not None
    if compiled and not (model._further and model._further.look_at_logits):
        return found
    if not compiled and model._adds_losses():
        return found  # these train alone
    named = by_name(model, y_pred)
    return matching.outputs_of(named, evidence(model, (x, named)), named)
