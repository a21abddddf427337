"""Determines the meaning of each output of a model: its kind and its last activation.

There are three kinds: "categorical" (a distribution over the last axis), "binary" (independent
yes-or-no units, one or many) and "values" (a regression). Nothing is guessed from shapes. The kind
follows, in this order, from

1. the argument `output_kind`;
2. the compiled loss of that output;
3. the argument `student_activation` or `teacher_activation`, or else the model's end: a softmax
   is categorical, a sigmoid binary;
4. the loss that a teacher was compiled with for that output;
5. where no loss is compiled for the model, the label cross-entropy that then trains it: logits
   are categorical, and a single one binary.

Whether the numbers are logits follows from the argument, the model's end, and the loss's
`from_logits`, in this order. Remaining doubt raises an error that names the argument
to give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ban_tf.compat.loss_kinds import BINARY, CATEGORICAL, KINDS, VALUES, LossMeaning
from ban_tf.compat.model_ends import LINEAR, SIGMOID, SOFTMAX
from ban_tf.errors import InputError

ACTIVATIONS = (LINEAR, SOFTMAX, SIGMOID)
_KIND_OF: dict[str | None, str] = {SOFTMAX: CATEGORICAL, SIGMOID: BINARY}
_ACTIVATION_OF = {CATEGORICAL: SOFTMAX, BINARY: SIGMOID, VALUES: LINEAR}


class Meaning(NamedTuple):
    """The meaning of an output.

    Attributes:
        kind: "categorical", "binary" or "values".
        activation: The last activation, by which outputs are converted to logits: "linear",
            "softmax" or "sigmoid"; always "linear" for values, which are not converted.
    """

    kind: str
    activation: str


class Evidence(NamedTuple):
    """The evidence about an output.

    Attributes:
        name: The name of the output.
        role: "student", "teacher", or "member" of an ensemble.
        kind: The argument `output_kind`, or None.
        activation: The argument `student_activation` or `teacher_activation`, or None.
        losses: The meanings of its compiled losses; empty if it has none.
        compiled: Whether the model has a compiled loss for any output.
        end: The model's end, as `model_ends.visible_end` returns it.
        kept: Whether Keras keeps the logits of the probabilities.
        units: Entries of the last axis, or None.
        taught: The kind by the teacher's compiled loss, or None.
    """

    name: str
    role: str = "student"
    kind: str | None = None
    activation: str | None = None
    losses: Sequence[LossMeaning] = ()
    compiled: bool = False
    end: str | None = None
    kept: bool = False
    units: int | None = None
    taught: str | None = None

    @property
    def argument(self) -> str:
        """The argument that gives the activation."""
        return "activation" if self.role == "member" else f"{self.role}_activation"


class DoubtError(InputError):
    """The meaning of an output is unknown."""


def resolve(evidence: Evidence) -> Meaning:
    """Returns the meaning of an output.

    Raises:
        InputError: The evidence is contradictory or leaves doubt (`DoubtError`).
    """
    kind = kind_of(evidence)
    if kind is None:
        raise DoubtError(_doubt(evidence))
    return Meaning(kind, activation_of(evidence, kind))


def kind_of(evidence: Evidence) -> str | None:
    """Returns the kind of an output; None if unknown.

    Raises:
        InputError: The evidence is contradictory.
    """
    loss = _loss_kind(evidence)
    declared = _KIND_OF.get(evidence.activation)
    end = _KIND_OF.get(evidence.end)
    if evidence.kind is not None:
        if loss not in (None, evidence.kind) and end != evidence.kind:
            raise InputError(
                f"`output_kind` of {_output(evidence)} is {evidence.kind!r}, but its loss "
                f"{_loss_names(evidence)} is for {loss!r} outputs; give one or the other."
            )
        if declared not in (None, evidence.kind):
            raise InputError(
                f"`output_kind` of {_output(evidence)} is {evidence.kind!r}, but "
                f"`{evidence.argument}` is {evidence.activation!r}, which makes it "
                f"{declared!r}; leave out one of them."
            )
        _check_units(evidence, evidence.kind)
        return evidence.kind
    if loss is not None:
        if declared not in (None, loss):
            raise InputError(
                f"`{evidence.argument}` of {_output(evidence)} is {evidence.activation!r}, "
                f"but its loss {_loss_names(evidence)} is for {loss!r} outputs; give the kind as "
                f"`output_kind`, or leave out `{evidence.argument}`."
            )
        if loss != VALUES and end not in (None, loss):
            raise DoubtError(
                f"{_output(evidence)} ends in a {evidence.end}, but its loss "
                f"{_loss_names(evidence)} is for {loss!r} outputs; say which holds with "
                f"`output_kind`: {end!r} or {loss!r}."
            )
        _check_units(evidence, loss)
        return loss
    if declared or end or evidence.taught:
        return declared or end or evidence.taught
    if not evidence.compiled and LINEAR in (evidence.end, evidence.activation):
        # Without a loss, the label cross-entropy is used: categorical; binary for a single logit.
        return _default_kind(evidence)
    return None


def activation_of(evidence: Evidence, kind: str) -> str:
    """Returns the last activation of an output of a kind.

    Raises:
        InputError: The evidence is contradictory or leaves doubt (`DoubtError`).
    """
    if kind == VALUES:
        return LINEAR
    from_logits = _from_logits(evidence)
    given = evidence.activation
    if given is not None:
        _check_probabilities(evidence, from_logits)
        if given == LINEAR and from_logits is False:
            raise InputError(_takes_probabilities(evidence))
        return given
    if evidence.end in (SOFTMAX, SIGMOID):
        return evidence.end
    if evidence.end == LINEAR:
        if from_logits is False:
            raise InputError(_takes_probabilities(evidence))
        return LINEAR
    if evidence.end is None and evidence.kept:
        return _ACTIVATION_OF[kind]
    if evidence.end is None and from_logits is not None:
        return LINEAR if from_logits else _ACTIVATION_OF[kind]
    raise DoubtError(
        f"Whether {_output(evidence)} gives logits or probabilities cannot be seen; give "
        f"`{evidence.argument}`: 'linear' or {_ACTIVATION_OF[kind]!r}."
    )


def _check_probabilities(evidence: Evidence, from_logits: bool | None = None) -> None:
    given = evidence.activation
    if given in (None, LINEAR) or (evidence.end != LINEAR and from_logits is not True):
        return
    why = "it ends in logits" if evidence.end == LINEAR else "its loss takes logits"
    raise InputError(
        f"`{evidence.argument}` is {given!r}, but the outputs of the {evidence.role} are no "
        f"probabilities ({evidence.name!r}: {why}); of {_KIND_OF[given]} logits, give "
        f"`output_kind` {_KIND_OF[given]!r} instead."
    )


def teacher_meaning(
    student: str, own_units: int | None, evidence: Evidence, own_end: str | None = None
) -> Meaning:
    """Returns the meaning of a teacher's output, whose kind must be the student's.

    Args:
        student: The kind of the student's output.
        own_units: Entries of the last axis of the student's output. One unit of one model and two
            classes of the other are equivalent.
        evidence: The evidence about the teacher's output; its `kind` is not used.
        own_end: The end of the student's output, or None if unknown.

    Raises:
        InputError: Its end contradicts the kind or the student's end, or leaves doubt
            (`DoubtError`).
    """
    _check_probabilities(evidence)
    kind = student
    if student == CATEGORICAL and own_units == 2 and evidence.units == 1:
        kind = BINARY
    elif student == BINARY and own_units == 1 and evidence.units == 2:
        kind = CATEGORICAL
    end = _KIND_OF.get(evidence.activation) or _KIND_OF.get(evidence.end)
    if kind != VALUES and end not in (None, kind):
        raise InputError(
            f"{_output(evidence)} ends in a {evidence.activation or evidence.end}, which makes "
            f"it {end!r}, but that of the student is {kind!r}; both need the same kind."
        )
    if kind == VALUES and own_end in (SOFTMAX, SIGMOID) and evidence.end == LINEAR:
        raise InputError(
            f"{_output(evidence)} does not end in a {own_end} as that of the student does, whose "
            f"loss makes both values to be compared: end the teacher in a {own_end}, too, or give "
            f"`output_kind` {_KIND_OF[own_end]!r}."
        )
    # Its own losses only count if nothing else is known, and if they are for this kind.
    seen = evidence.activation is not None or evidence.end is not None
    losses = [] if seen else [loss for loss in evidence.losses if loss.kind == kind]
    return Meaning(kind, activation_of(evidence._replace(losses=losses), kind))


def check_declared(
    argument: str, given: Any, allowed: Sequence[str], names: Sequence[str] | None
) -> None:
    """Checks an argument for all outputs, or for each output by name.

    Args:
        argument: Its name.
        given: One of `allowed`, None, or a dictionary from output names to these.
        allowed: What may be given.
        names: The names of the outputs, if known.

    Raises:
        InputError: It is none of these, or names an output that does not exist.
    """
    if isinstance(given, Mapping) and names:
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise InputError(
                f"`{argument}` names the outputs {', '.join(map(str, unknown))}, but the model "
                f"has {', '.join(names)}."
            )
    for value in given.values() if isinstance(given, Mapping) else [given]:
        if value is not None and value not in allowed:
            raise InputError(
                f"`{argument}` must be one of {', '.join(allowed)}, a dictionary of these by "
                f"output, or None to detect it. Received: {value!r}"
            )


def declared(given: Any, name: str) -> str | None:
    """Returns the value for an output of an argument that `check_declared` has accepted."""
    return given.get(name) if isinstance(given, Mapping) else given


def _loss_kind(evidence: Evidence) -> str | None:
    for loss in evidence.losses:
        if loss.kind == CATEGORICAL and loss.axis != -1:
            raise DoubtError(
                f"The loss {loss.name} of {_output(evidence)} takes the classes to be on axis "
                f"{loss.axis}, but distillation takes them to be on the last one; put them there."
            )
    kinds = {loss.kind for loss in evidence.losses if loss.kind is not None}
    if len(kinds) > 1 and evidence.kind is None:
        raise DoubtError(
            f"The losses {_loss_names(evidence)} of {_output(evidence)} are for outputs of "
            f"different kinds; say which it is with `output_kind`: {' or '.join(sorted(kinds))}."
        )
    return kinds.pop() if len(kinds) == 1 else None


def _from_logits(evidence: Evidence) -> bool | None:
    said = {loss.from_logits for loss in evidence.losses} - {None}
    return said.pop() if len(said) == 1 else None


def _default_kind(evidence: Evidence) -> str | None:
    if evidence.units is None:
        return None
    return BINARY if evidence.units == 1 else CATEGORICAL


def _check_units(evidence: Evidence, kind: str) -> None:
    if kind == CATEGORICAL and evidence.units == 1:
        raise DoubtError(
            f"{_output(evidence)} is categorical, but has a single unit, which a softmax makes "
            "certain; use a binary loss (`output_kind` 'binary'), or two units."
        )


def _takes_probabilities(evidence: Evidence) -> str:
    loss = next(loss.name for loss in evidence.losses if loss.from_logits is False)
    return (
        f"The loss {loss} takes probabilities (from_logits=False), but {_output(evidence)} gives "
        f"logits; give the loss from_logits=True, end the {evidence.role} in a softmax or "
        f"sigmoid, or say with `{evidence.argument}` that it does."
    )


def _doubt(evidence: Evidence) -> str:
    why = "is trained by no loss that says so"
    if evidence.losses:
        why = f"has the loss {_loss_names(evidence)}, which does not say so"
    return (
        f"What {_output(evidence)} means is not known: it {why}, and does not visibly end in a "
        f"softmax or sigmoid. Give `output_kind`: {', '.join(KINDS)}"
        + (" for each output by name." if not evidence.losses and evidence.compiled else ".")
    )


def _output(evidence: Evidence) -> str:
    return f"output {evidence.name!r} of the {evidence.role}"


def _loss_names(evidence: Evidence) -> str:
    return ", ".join(loss.name for loss in evidence.losses)
