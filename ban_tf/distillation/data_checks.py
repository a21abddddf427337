"""What can be said of data before training: one sentence for what is certain to be wrong.

Only arrays are looked at, as a whole. Nothing is drawn from data sets, generators and
`keras.utils.PyDataset`, and no model is run: both would change what training sees. Labels in
these are looked at where they pass: by TensorFlow in the step, or right after a step compiled by
XLA; under JAX on the host before it.

What plain Keras trains on is not refused: labels that a compiled loss ignores or that only a loss
of the user's own can know, NaN that such a loss or a layer may replace.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ban_tf.compat import host_calls, keras_private, loss_kinds
from ban_tf.compat import model_checks as checks
from ban_tf.compat.loss_kinds import BINARY, VALUES
from ban_tf.distillation import targets, teachers
from ban_tf.errors import InputError
from ban_tf.objectives import label_forms

SWITCH = "give `check_data=False` to train on it nevertheless"
NO_LOSS = "No loss to compute for other labels. Provide a `loss` argument in `compile()`."
# How many labels are looked at together: masks of images may be larger than the memory.
_AT_ONCE = 2**22

_L = keras.layers
# These pass NaN on.
_MOVERS = (
    _L.Flatten, _L.Reshape, _L.Permute, _L.RepeatVector, _L.Identity, _L.Dropout, _L.GaussianNoise,
    _L.ZeroPadding1D, _L.ZeroPadding2D, _L.ZeroPadding3D, _L.Normalization, _L.Rescaling, _L.Add,
    _L.Subtract, _L.Average, _L.Concatenate, _L.AveragePooling1D, _L.AveragePooling2D,
)  # fmt: skip
# Of NaN these make NaN for weights, too, by their gradients.
_LEARNERS = (
    _L.Dense, _L.EinsumDense, _L.Conv1D, _L.Conv2D, _L.Conv3D, _L.SeparableConv1D,
    _L.SeparableConv2D, _L.DepthwiseConv1D, _L.DepthwiseConv2D, _L.Conv1DTranspose,
    _L.Conv2DTranspose, _L.Conv3DTranspose, _L.BatchNormalization, _L.LayerNormalization,
    _L.GroupNormalization, _L.SimpleRNN, _L.LSTM, _L.GRU,
)  # fmt: skip


def check_data(model: Any, x: Any, y: Any, sample_weight: Any = None) -> str | None:
    """Checks what `fit` and `evaluate` are given, as far as it is there to be looked at.

    Args:
        model: The `BornAgainModel`.
        x: As for `fit`.
        y: As for `fit`.
        sample_weight: As for `fit`.

    Returns:
        As `check_labels`.

    Raises:
        InputError: Data holds NaN that nothing can replace, or labels that are certainly wrong.
    """
    if not model.check_data:
        return None
    labels = y
    if teachers.is_recorded(y):
        labels = y["labels"]
        _refuse_nan("y", y["teacher_logits"])
    if _certainly_passes_nan(model.student):
        _refuse_nan("x", _inputs(model.student, x))
    _refuse_nan("sample_weight", sample_weight)
    return check_labels(model, labels, look_for_nan=True)


def check_labels(model: Any, y: Any, look_for_nan: bool = False) -> str | None:
    """Checks labels that are arrays, of the outputs whose shapes are known.

    Args:
        model: The `BornAgainModel`.
        y: Labels, as for `fit`; those of one batch under JAX.
        look_for_nan: Whether NaN is refused, too.

    Returns:
        What is wrong with the labels if the label cross-entropy is to train a model that was
        compiled without a loss; None if nothing is. Only a step shows whether it does: the model
        may add losses of its own instead.

    Raises:
        InputError: A label is certainly wrong.
    """
    if y is None or not model.check_data:
        return None
    if keras.backend.backend() == "jax":
        _check_width(y)
    shapes = checks.output_shapes(model.student)
    if shapes is None:
        return None
    reading, loss = model.label_reading_outputs(shapes), getattr(model, "loss", None)
    try:
        labels = targets.by_output(y, list(shapes), loss)
    except InputError as error:
        if reading:
            raise
        # Keras itself says what a compiled loss expects.
        return None if model.has_loss else str(error)
    losses = model.compared_losses(list(shapes))
    void, doubt = targets.void_of(loss, list(shapes)), None
    for name, values in labels.items():
        array = as_array(values)
        if array is None or array.dtype.kind not in "biuf":
            continue
        known = losses.get(name, [])
        if look_for_nan and known and all(loss_kinds.meaning(loss).kind for loss in known):
            _refuse_nan("y", array)
        for compiled in filter(_is_sparse, known):
            _check_range(array, shapes[name], compiled, name)
        array = targets.unsigned(array, known)
        kind = model.known_kinds().get(name)
        problem = _unreadable(array, shapes[name], kind, void[name], name)
        if problem and name in reading and kind != VALUES:
            raise InputError(problem)
        doubt = doubt or problem
    return None if model.has_loss or doubt is None else f"{doubt}. {NO_LOSS}"


def assert_labels(model: Any, y: Any) -> None:
    """Checks, in a TensorFlow graph or at once, that labels are in range, where shapes are known.

    Args:
        model: The `BornAgainModel`.
        y: Labels of one batch, tensors.

    Raises:
        InputError: One is not, and this is no graph.
    """
    shapes = checks.output_shapes(model.student)
    if y is None or shapes is None or not model.check_data:
        return
    reading, loss = model.label_reading_outputs(shapes), getattr(model, "loss", None)
    losses, kinds = model.compared_losses(list(shapes)), model.known_kinds()
    void = targets.void_of(loss, list(shapes))
    try:
        labels = targets.by_output(y, list(shapes), loss)
    except InputError:
        return
    for name, values in labels.items():
        known = losses.get(name, [])
        read = (
            name in reading or model.assumes_loss or any(_is_sparse(compiled) for compiled in known)
        )
        if values is None or not read or kinds.get(name) == VALUES or shapes[name][-1] is None:
            continue
        logits = _as_classes(shapes[name], kinds.get(name))
        marked = targets.marked(targets.unsigned(values, known), void[name], logits)
        try:
            label_forms.read(marked, logits)
        except InputError as error:  # outside of a graph it is raised at once
            raise InputError(str(error).replace("`labels`", "`y`", 1)) from None


def largest_batch(x: Any, batch_size: int | None) -> int | None:
    """Returns how many examples the batches of `fit` have, the last one apart.

    Args:
        x: As for `fit`.
        batch_size: As for `fit`.

    Returns:
        None where `x` holds no arrays.
    """
    flat = keras.tree.flatten(x)
    array = as_array(flat[0]) if flat else None
    return None if array is None else min(batch_size or 32, len(array))


@contextlib.contextmanager
def labels_in_range(model: Any) -> Iterator[None]:
    """Rewords errors of TensorFlow on data that could not be checked before.

    Args:
        model: The `BornAgainModel` that is trained in the block.

    Raises:
        InputError: A label was out of range.
        Exception: The error of a teacher or of another function on the host, itself.
    """
    try:
        with host_calls.raising_their_own():
            yield
    except InputError:
        raise
    except Exception as error:
        sentence = label_forms.sentence_of(str(error))
        if sentence is not None:
            sentence = sentence.replace("`labels`", "`y`")
            raise InputError(sentence if model.has_loss else f"{sentence}. {NO_LOSS}") from error
        found = re.search(r"label value of (-?\d+) .*?valid range of \[0, (\d+)\)", str(error))
        if found is None:
            raise
        label, classes = found.groups()
        raise InputError(
            f"`y` holds the label {label}, but the model has {classes} classes: labels must be "
            f"from 0 to {int(classes) - 1}."
        ) from error


def as_array(values: Any) -> np.ndarray | None:
    """Returns an array, tensor, data frame or series as a NumPy array; None for all else.

    What would have to be read from a file first (h5py, zarr) is left alone.
    """
    if isinstance(values, np.ndarray):
        return values if values.size else None
    library = type(values).__module__.split(".")[0]
    if library not in ("pandas", "tensorflow", "jax", "jaxlib", "torch"):
        return None
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        return None  # ragged, sparse, symbolic, on several hosts
    return array if array.size and array.dtype != object else None


def _refuse_nan(name: str, values: Any) -> None:
    for value in keras.tree.flatten(values):
        array = as_array(value)
        if array is None or not np.issubdtype(array.dtype, np.floating):
            continue
        if np.isnan(np.min(array)):
            raise InputError(
                f"`{name}` holds NaN (not a number); remove or replace it, or {SWITCH}."
            )


def _inputs(student: keras.Model, x: Any) -> Any:
    """Returns what the model takes of `x`: of a dictionary, a Functional model picks by name."""
    names = getattr(student, "input_names", None)
    if isinstance(x, Mapping) and names:
        return [values for name, values in x.items() if name in names]
    return x


def _certainly_passes_nan(model: keras.Model) -> bool:
    """Returns whether all that takes the inputs is known to make NaN of NaN."""
    model = keras_private.functional_of(model)
    if not type(model).__module__.startswith("keras.") or not hasattr(model, "operations"):
        return False
    reached = {id(tensor) for tensor in keras.tree.flatten(model.inputs)}
    for operation in model.operations:
        for node in keras_private.calls(operation):
            if not any(id(tensor) in reached for tensor in node.input_tensors):
                continue
            if type(operation) in _MOVERS:
                reached |= {id(tensor) for tensor in node.output_tensors}
            elif type(operation) not in _LEARNERS and not (
                isinstance(operation, keras.Model) and _certainly_passes_nan(operation)
            ):
                return False
    return True


def _is_sparse(loss: Any) -> bool:
    loss = loss_kinds.resolved(loss)
    if type(loss) is keras.losses.SparseCategoricalCrossentropy:
        return loss.get_config().get("axis", -1) == -1
    return loss is keras.losses.sparse_categorical_crossentropy


def _check_width(labels: Any) -> None:
    """Checks that integers keep their value in JAX, which has 32 bits for them by default."""
    widest = ops.convert_to_tensor(np.zeros(1, "int64")).dtype
    if keras.backend.standardize_dtype(widest) == "int64":
        return
    for label in keras.tree.flatten(labels):
        array = as_array(label)
        if array is None or array.dtype.kind not in "iu" or array.dtype.itemsize < 4:
            continue
        for number in (np.max(array), np.min(array)):
            if not -(2**31) <= int(number) < 2**31:
                raise InputError(
                    f"`y` holds {number}, which would become another number in the 32 bits of "
                    f"JAX's integers; give smaller labels, floats, or {SWITCH}."
                )


def _check_range(labels: np.ndarray, shape: tuple, loss: Any, name: str) -> None:
    """Checks class indices for a compiled `SparseCategoricalCrossentropy`."""
    classes, ignored = shape[-1], loss_kinds.meaning(loss).void
    if classes is None:
        return
    for part in _parts(labels):
        found = part if ignored is None else part[part != ignored]
        wrong = found[(found < 0) | (found >= classes)]
        if wrong.size:
            raise InputError(
                f"`y` holds the label {wrong.flat[0]:g}, but output {name!r} has {classes} "
                f"classes: labels must be from 0 to {classes - 1}. If it stands for no label, "
                f"give the loss `ignore_class`; or {SWITCH}."
            )


def _unreadable(
    labels: np.ndarray, shape: tuple, kind: str | None, void: int, name: str
) -> str | None:
    """Returns why labels are none that an objective, or the label cross-entropy, can read."""
    if kind == VALUES:
        return f"`y` for output {name!r} is a regression"
    if shape[-1] is None:
        return None
    logits = _as_classes(shape, kind)
    for part in _parts(labels):
        try:
            label_forms.read(targets.marked(part, void, logits), logits)
        except InputError as error:
            return str(error).replace("`labels`", f"`y` for output {name!r}", 1)
    return None


def _as_classes(shape: tuple, kind: str | None) -> keras.KerasTensor:
    """Returns a symbolic output as logits of classes: a binary unit as no and yes."""
    if kind == BINARY or shape[-1] == 1:
        shape = (*(shape[:-1] if shape[-1] == 1 else shape), 2)
    return keras.KerasTensor(shape)


def _parts(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Yields an array in parts of some rows."""
    if not labels.ndim:
        yield labels
        return
    rows = max(1, _AT_ONCE * len(labels) // max(1, labels.size))
    for first in range(0, len(labels), rows):
        yield labels[first : first + rows]
