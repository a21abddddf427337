"""A teacher's logits, computed once for each view of the data and kept on disk.

A view is the whole training set, cropped and flipped in one drawn way; `datasets.pipeline` can
show any view again, in any order. For each view there is one `.npy` file with a row for every
example, memory-mapped when it is read, so that nothing of it needs to fit into memory. A row is

1. the logits in float16, or
2. the `top` largest log-probabilities in float16 and the classes that they belong to, with one
   more value for what remains, spread evenly over all other classes.

Rows are appended as they are computed to `view-<n>.begun`, which becomes `view-<n>.npy` when it
is complete: an interrupted recording resumes with the first missing row. Behind the
last row of a complete view stands the SHA-256 of all before it, where NumPy does not look; a view
that is found is checked against it, and recorded again if it has changed. A folder is named after
everything that its content depends on, and so serves every run that would record the same; a lock
makes two such runs record it once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from absl import logging
from scipy import special

from ban_tf.errors import InputError
from ban_tf.system import flag_names, safe_files
from ban_tf.system.arguments import check_choice, check_count, is_integer
from ban_tf.system.files import file_lock

if TYPE_CHECKING:  # what writes a recording need not have Keras
    import keras

ADVICE = (
    "record the `top` classes alone, fewer `views`, or choose another `path`",
    "The same call continues once there is space and permission; or choose another `path`",
)


@dataclasses.dataclass(frozen=True)
class Form:
    """The shape of a recording.

    Attributes:
        views: How many views of the examples there are.
        examples: Rows of a view.
        classes: Logits of an example.
        top: How many classes of each row are kept apart; None keeps the logits of all.
        precision: "float16", or "float32" for other numbers than logits.
        positions: Axes of an example before its classes: words of a line, or height and width.
    """

    views: int
    examples: int
    classes: int
    top: int | None = None
    precision: str = "float16"
    positions: tuple[int, ...] = ()

    @flag_names.as_arguments(teacher_top="top")
    def __post_init__(self) -> None:
        for name in ("views", "examples", "classes"):
            check_count(name, getattr(self, name), least=1)
        check_choice("precision", self.precision, ("float16", "float32"))
        if self.top is not None and not is_integer(self.top):
            raise InputError(f"`top` must be an integer, or None. Received: {self.top!r}")
        if self.top is not None and not 0 < self.top < self.classes:
            raise InputError(
                f"--teacher_top must be between 1 and {self.classes - 1}, fewer than the "
                f"{self.classes} classes; it is {self.top}."
            )

    @property
    def row(self) -> np.dtype:
        """What is stored of one example."""
        if self.top is None:
            return np.dtype((self.precision, (*self.positions, self.classes)))
        number = "<u2" if self.classes <= 2**16 else "<u4"
        row = np.dtype([("values", "<f2", (self.top + 1,)), ("classes", number, (self.top,))])
        return np.dtype((row, self.positions)) if self.positions else row

    @property
    def bytes(self) -> int:
        """Size of all views on disk."""
        return self.views * self.examples * self.row.itemsize


@dataclasses.dataclass(frozen=True)
class Recording:
    """A recording that is complete.

    Attributes:
        path: Its folder.
        form: Its shape.
    """

    path: pathlib.Path
    form: Form

    def view(self, number: int) -> np.ndarray:
        """Returns the rows of a view, memory-mapped."""
        return np.load(_file(self.path, number), mmap_mode="r", allow_pickle=False)

    def logits(self, view: Any, chosen: Any) -> Any:
        """Returns the teacher's logits for some examples.

        Args:
            view: Which view, a scalar.
            chosen: Indices of examples, `[batch]`: an array, or a tensor inside `tf.data`.

        Returns:
            float32 `[batch, ..., classes]`, an array or a tensor as `chosen`.
        """
        opened: dict[int, np.ndarray] = {}

        def read(number: np.ndarray, rows: np.ndarray) -> np.ndarray:
            view = opened.get(int(number))
            if view is None:
                opened.clear()  # one view at a time: epochs follow each other
                view = opened[int(number)] = self.view(int(number))
            # Not from `opened`, which another thread may have cleared.
            return unpack(view[rows], self.form)

        return in_dataset(read, (view, chosen), (*self.form.positions, self.form.classes))


def in_dataset(
    read: Callable[..., np.ndarray], arguments: tuple[Any, Any], shape: tuple[int, ...]
) -> Any:
    """Returns what is read of arrays, or inside `tf.data` of tensors.

    Args:
        read: Takes arrays, a view and indices `[batch]`; returns float32 `[batch, *shape]`.
        arguments: A view and indices: arrays, or tensors of TensorFlow.
        shape: That of what it returns for an example.
    """
    chosen = arguments[1]
    if isinstance(chosen, np.ndarray):
        return read(*arguments)
    import tensorflow as tf

    found = tf.numpy_function(read, list(arguments), tf.float32, stateful=False)
    found.set_shape([chosen.shape[0], *shape])
    return found


def pack(logits: np.ndarray, form: Form) -> np.ndarray:
    """Turns logits `[batch, ..., classes]` into rows as they are stored, `[batch, ...]`.

    Logits beyond the range of their precision are moved to its ends.
    """
    if form.top is None:
        largest = np.finfo(form.precision).max
        return np.clip(logits, -largest, largest).astype(form.precision)
    log_probabilities = special.log_softmax(logits.astype(np.float64), axis=-1)
    order = np.argsort(-log_probabilities, axis=-1, kind="stable")
    sorted_values = np.take_along_axis(log_probabilities, order, axis=-1)
    rows = np.zeros(len(logits), form.row)
    rows["classes"] = order[..., : form.top]
    rows["values"][..., :-1] = sorted_values[..., : form.top]
    # The mean of the others' probabilities, by its logarithm; float16 ends at -65504.
    others = np.logaddexp.reduce(sorted_values[..., form.top :], axis=-1)
    rows["values"][..., -1] = np.maximum(others - np.log(form.classes - form.top), -6e4)
    return rows


def unpack(rows: np.ndarray, form: Form) -> np.ndarray:
    """Turns stored rows `[batch, ...]` into float32 logits `[batch, ..., classes]`."""
    if form.top is None:
        return rows.astype(np.float32)
    values = rows["values"].astype(np.float32)
    logits = np.repeat(values[..., -1:], form.classes, axis=-1)
    np.put_along_axis(logits, rows["classes"].astype(np.int64), values[..., :-1], axis=-1)
    return logits


def digest(models: Sequence[keras.Model], *facts: Any) -> str:
    """Returns a name for what models with their present weights say about some data.

    Args:
        models: The teachers.
        *facts: What else their outputs depend on: arrays, and what JSON can hold.
    """
    from ban_tf.compat import fingerprint

    described = [fingerprint.of_model(model) for model in models]
    for fact in facts:
        described.append(fingerprint.of_array(fact) if isinstance(fact, np.ndarray) else fact)
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:20]


def free_space(path: pathlib.Path) -> int:
    """Returns the free bytes of the disk on which a folder is, or would be created."""
    nearest = path.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    return shutil.disk_usage(nearest).free


def record(
    path: pathlib.Path,
    form: Form,
    batches: Callable[[int, int], Iterable[Any]],
    logits: Callable[[Any], Any],
    advance: Callable[[int], None] = lambda rows: None,
    advice: tuple[str, str] = ADVICE,
) -> Recording:
    """Records what is not recorded yet.

    Args:
        path: The recording's folder.
        form: Its shape.
        batches: Given a view and the first example that is missing, returns the batches of
            inputs from there on, in order.
        logits: The teacher: a batch of inputs to logits `[batch, ..., classes]`.
        advance: Called with how many rows have been added, those found included.
        advice: What to do if the disk is too small, and if it cannot be written.

    Raises:
        InputError: The disk is too small or cannot be written.
    """
    path = pathlib.Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with file_lock(path / "lock", f"Another process records into {path}"):
            missing = form.bytes - sum(file.stat().st_size for file in path.glob("view-*"))
            free = shutil.disk_usage(path).free
            if missing > free:
                raise InputError(
                    f"The recorded outputs need {in_words(missing)} more in {path}, where "
                    f"{in_words(free)} are free; {advice[0]}."
                )
            for view in range(form.views):
                _record_view(path, view, form, batches, logits, advance)
    except OSError as error:
        raise InputError(
            f"The recorded outputs could not be written to {path} ({error.strerror}); what is "
            f"recorded stays. {advice[1]}."
        ) from error
    return Recording(path, form)


def _record_view(
    path: pathlib.Path,
    view: int,
    form: Form,
    batches: Callable[[int, int], Iterable[Any]],
    logits: Callable[[Any], Any],
    advance: Callable[[int], None],
) -> None:
    complete = _file(path, view)
    if complete.exists():
        if _is_whole(complete, form):
            advance(form.examples)
            return
        logging.warning("%s has changed since it was written, and is recorded again.", complete)
        complete.unlink()
    partial = complete.with_suffix(".begun")
    with open(partial, "a+b", opener=safe_files.regular) as file:
        whole_rows = _cut_to_whole_rows(file, form)
        advance(whole_rows)
        if whole_rows < form.examples:
            for batch in batches(view, whole_rows):
                rows = pack(np.asarray(logits(batch)), form)
                file.write(rows.tobytes())
                file.flush()
                advance(len(rows))
        file.write(_digest(file, _HEADER + form.examples * form.row.itemsize))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(complete)


def _cut_to_whole_rows(file: BinaryIO, form: Form) -> int:
    """Cuts off what a kill left of a row, and what no write has reached; returns the rows left."""
    size = form.row.itemsize
    whole_rows = min(form.examples, max(0, file.seek(0, os.SEEK_END) - _HEADER) // size)
    # Where power failed, a file may be longer than what has reached the disk: zeros are read.
    while whole_rows and not any(_read(file, _HEADER + (whole_rows - 1) * size, size)):
        whole_rows -= 1
    if _read(file, 0, _HEADER) != _header(form):
        whole_rows = 0
        file.truncate(0)
        file.write(_header(form))
    file.truncate(_HEADER + whole_rows * size)
    return whole_rows


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def _is_whole(file: pathlib.Path, form: Form) -> bool:
    """Whether a complete view holds what was written, and is of this shape."""
    size = _HEADER + form.examples * form.row.itemsize
    with open(file, "rb", opener=safe_files.regular) as content:
        return (
            content.seek(0, os.SEEK_END) == size + _TRAILER
            and _read(content, 0, _HEADER) == _header(form)
            and _digest(content, size) == _read(content, size, _TRAILER)
        )


def is_whole(path: pathlib.Path, view: int, form: Form) -> bool:
    """Returns whether a view of a recording is there as it was written, and is of a shape."""
    file = _file(path, view)
    return file.is_file() and _is_whole(file, form)


def trailer(path: pathlib.Path, view: int) -> bytes:
    """Returns the SHA-256 that stands behind the rows of a complete view."""
    with open(_file(path, view), "rb", opener=safe_files.regular) as file:
        return _read(file, file.seek(0, os.SEEK_END) - _TRAILER, _TRAILER)


def first_rows(path: pathlib.Path, form: Form, count: int) -> np.ndarray:
    """Returns the first rows, at most, that are recorded of view 0, also if it is incomplete."""
    for file in (_file(path, 0), _file(path, 0).with_suffix(".begun")):
        if file.is_file():
            with open(file, "rb", opener=safe_files.regular) as content:
                size = form.row.itemsize
                if _read(content, 0, _HEADER) != _header(form):
                    break
                found = _read(content, _HEADER, count * size)
                return np.frombuffer(found[: len(found) // size * size], form.row.base).reshape(
                    -1, *form.row.shape
                )
    return np.empty((0, *form.row.shape), form.row.base)


def _digest(file: BinaryIO, size: int) -> bytes:
    """The SHA-256 of the first so many bytes."""
    found = hashlib.sha256()
    for start in range(0, size, _PIECE):
        found.update(_read(file, start, min(_PIECE, size - start)))
    return found.digest()


_PIECE = 2**20
_TRAILER = hashlib.sha256().digest_size
_HEADER = 192  # bytes: NumPy wants the header of these files to be a multiple of 64


def _header(form: Form) -> bytes:
    """The beginning of an `.npy` file (format 1.0) that holds one view."""
    base, inner = form.row.subdtype or (form.row, ())
    description = {
        "descr": np.lib.format.dtype_to_descr(base),
        "fortran_order": False,
        "shape": (form.examples, *inner),
    }
    text = repr(description).ljust(_HEADER - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def _file(path: pathlib.Path, view: int) -> pathlib.Path:
    return path / f"view-{view:05d}.npy"


def in_words(size: float) -> str:
    """Returns a number of bytes as people write it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError
