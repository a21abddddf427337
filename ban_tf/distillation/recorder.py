"""`ban_tf.record`: the outputs of a teacher of any framework, kept on disk for its students.

Nothing here needs Keras or TensorFlow: the process that has the teacher need not have them, and
the one that trains the student need not have the teacher.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ban_tf.distillation import (
    class_maps,
    example_keys,
    function_outputs,
    recorded_outputs,
    recording,
)
from ban_tf.distillation.recorded_outputs import KEYS, LOGITS, VALUES, Manifest
from ban_tf.errors import InputError
from ban_tf.system import bars, shown, user_code
from ban_tf.system.arguments import check_choice, check_count, check_flag
from ban_tf.system.files import is_temporary, make_directory, write_atomically

_PROBED = 8  # examples by which a resumed recording compares teachers
_MAY_DIFFER = ("complete", "teacher", "teacher_hash", "version")


def record(
    teacher: Callable[[Any], Any],
    data: Any,
    path: str | os.PathLike,
    *,
    outputs: str | None = None,
    class_names: Sequence[str] | None = None,
    keys: Any = None,
    views: int = 1,
    augmentation: Mapping[str, Any] | None = None,
    top: int | None = None,
    dtype: str = "float16",
    batch_size: int = 256,
    identity: str | None = None,
    verbose: bool = True,
) -> pathlib.Path:
    """Records what a teacher returns for data, for `ban_tf.RecordedTeacher` and `--teacher_from`.

    The recording is complete when this returns. Stopped before, the same call continues with the
    first missing row; a complete recording is not changed.

    Example:
        ```python
        ban_tf.record(teacher.predict, x, "recordings/teacher")
        student = ban_tf.BornAgainModel(my_model(), ban_tf.RecordedTeacher("recordings/teacher"))
        ```

    Args:
        teacher: Takes a batch of `data` as NumPy arrays, and returns outputs `[batch, classes]`
            (of any framework) that depend on each example alone.
        data: The examples: an array `[examples, ...]` or what can be sliced like one, a
            dictionary or list of these; or a function of the number of a view that returns them.
        path: The folder of the recording.
        outputs: "logits", "probabilities" or "values" (of a regression). None finds out from the
            numbers whether they are logits or probabilities.
        class_names: In the order of the outputs; `--teacher_from` compares them with its classes.
        keys: What students know the examples by, if not by the numbers of `data`: their own inputs,
            or names (of files, relative to their folder) or whole numbers `[examples]`.
        views: How many views of the examples there are.
        augmentation: How views were drawn, as `ban_tf.datasets.views` describes it.
        top: Keeps the so many most likely classes of each example, and spreads the rest evenly.
        dtype: "float16" or "float32", of the numbers on disk; values are float32.
        batch_size: Examples in a batch.
        identity: What identifies the teacher, such as the hash of its checkpoint; by default, the
            hash of what pickle makes of it, if it can.
        verbose: Whether the size and the progress are printed.

    Returns:
        The path.

    Raises:
        InputError: An argument is invalid, the teacher returns something else, the disk is too
            small, or the path holds another recording.
    """
    folder = pathlib.Path(recorded_outputs.check_path(path))
    views = check_count("views", views, least=1)
    batch_size = check_count("batch_size", batch_size, least=1)
    augmentation, class_names = _check_described(augmentation, class_names, identity, verbose)
    source = _Source(data, views, batch_size)
    ask = function_outputs.Checked(teacher, "teacher", outputs)
    probe = ask(example_keys.rows(source.of(0), slice(_PROBED)))
    manifest = Manifest(
        views,
        source.examples,
        probe.shape[-1],
        outputs=VALUES if outputs == VALUES else LOGITS,
        dtype="float32" if outputs == VALUES else dtype,
        top=top,
        class_names=class_names,
        augmentation=augmentation,
        keys="examples" if keys is None else "given",
        teacher=getattr(teacher, "__qualname__", type(teacher).__name__),
        teacher_hash=identity if identity is not None else _hash_of(teacher),
    )
    _check(manifest, outputs)
    manifest, known = _with_keys(manifest, source, keys)
    if _resumes(folder, manifest, probe, identity):
        if verbose:
            print(f"{folder} is recorded already, and unchanged.", flush=True)
        return folder
    form, rows = manifest.form, views * source.examples
    if verbose:
        print(
            f"Recording {source.examples:,} examples in {shown.counted(views, 'view')}, "
            f"{recording.in_words(form.bytes + known.nbytes)} in {folder}.",
            flush=True,
        )
    _write(folder, manifest, known)
    with bars.bar("recording", rows, shown=verbose and sys.stdout.isatty()) as advance:
        recording.record(folder, form, source.batches, ask, advance)
    dataclasses.replace(manifest, complete=True).write(folder)
    return folder


class _Source:
    """The examples of every view, in batches."""

    def __init__(self, data: Any, views: int, batch_size: int):
        if views > 1 and not callable(data):
            raise InputError(
                f"`views` is {views}, for which `data` must be a function of the number of a view."
            )
        if callable(data) and not user_code.takes(data, 1):
            raise InputError(
                f"`data` must be a function of the number of a view. Received: {data!r}"
            )
        self._data, self._batch_size = data, batch_size
        self._views = views
        self.examples = len(example_keys.leaves(self.of(0))[0])

    def of(self, view: int) -> Any:
        """Returns the examples of a view."""
        data = self._data(view) if callable(self._data) else self._data
        listed = isinstance(data, list) and not all(hasattr(part, "shape") for part in data)
        return np.asarray(data) if listed else data

    def batches(self, view: int, first: int) -> Iterator[Any]:
        """Yields the batches of a view from an example on."""
        data = self.of(view)
        for start in range(first, self.examples, self._batch_size):
            yield example_keys.rows(data, slice(start, start + self._batch_size))

    def keys(self) -> np.ndarray:
        """Returns the keys of what the teacher sees, uint64 `[views, examples]`."""
        found = [example_keys.of_examples(self.of(view)) for view in range(self._views)]
        if any(len(keys) != self.examples for keys in found):
            raise InputError("`data` has different numbers of examples in different views.")
        return np.stack(found)


def _check_described(
    augmentation: Any, class_names: Any, identity: Any, verbose: Any
) -> tuple[dict[str, Any], list[str] | None]:
    """Returns the arguments that describe a recording, as its manifest has them."""
    given = dict(recorded_outputs.NONE) if augmentation is None else augmentation
    described = isinstance(given, Mapping) and isinstance(given.get("policy"), str)
    if not described or not _is_json(dict(given)):
        raise InputError(
            "`augmentation` must be a dictionary with a 'policy', as `ban_tf.datasets.views` "
            f"returns it, or None for unchanged examples. Received: {augmentation!r}"
        )
    if class_names is not None:
        class_names = class_maps.check_names("class_names", class_names)
    if identity is not None and not isinstance(identity, str):
        raise InputError(f"`identity` must be a text, or None. Received: {identity!r}")
    check_flag("verbose", verbose)
    return dict(given), class_names


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _check(manifest: Manifest, outputs: str | None) -> None:
    """Checks what the arguments say of a recording."""
    top, names = manifest.top, manifest.class_names
    check_choice("dtype", manifest.dtype, ("float16", "float32"))
    if top is not None and (outputs == VALUES or manifest.dtype != "float16"):
        raise InputError("`top` is for classes, whose log-probabilities it keeps in float16.")
    if top is not None and not 0 < check_count("top", top, least=1) < manifest.classes:
        raise InputError(
            f"`top` must be fewer than the {manifest.classes} classes. Received: {top}"
        )
    if names is not None and len(names) != manifest.classes:
        raise InputError(
            f"`class_names` has {len(names)} names, but `teacher` returns {manifest.classes} "
            "classes."
        )


def _with_keys(manifest: Manifest, source: _Source, keys: Any) -> tuple[Manifest, np.ndarray]:
    """Returns the manifest with its hashes, and the keys of the examples."""
    seen = source.keys()
    known = seen
    if keys is not None:
        given = example_keys.given(keys)
        if len(given) != source.examples:
            raise InputError(
                f"`keys` has {len(given)} entries, but `data` has {source.examples} examples."
            )
        if example_keys.are_names(keys):
            _check_alike(given, seen)
        known = np.broadcast_to(given, seen.shape)
    hashes = recorded_outputs.hash_of(known), recorded_outputs.hash_of(seen)
    return dataclasses.replace(manifest, keys_hash=hashes[0], data_hash=hashes[1]), known


def _check_alike(given: np.ndarray, seen: np.ndarray) -> None:
    """Checks that examples of one key are the same: of others, a student would get one's outputs.

    Args:
        given: The keys of the examples, uint64 `[examples]`.
        seen: The keys of what the teacher sees of them, uint64 `[views, examples]`.
    """
    _, first, place = np.unique(given, return_index=True, return_inverse=True)
    differing = np.flatnonzero((seen != seen[:, first[place]]).any(axis=0))
    if differing.size:
        other = int(differing[0])
        raise InputError(
            f"`keys` are the same for the examples {first[place][other]} and {other} of `data`, "
            "which differ; give each its own."
        )


def _resumes(
    folder: pathlib.Path, manifest: Manifest, probe: np.ndarray, identity: str | None
) -> bool:
    """Returns whether a recording is complete; checks that one that was begun is the same.

    Raises:
        InputError: The folder holds something else.
    """
    there = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    if not folder.exists() or all(name == KEYS or is_temporary(name) for name in there):
        return False  # or stopped before it had a manifest
    before = recorded_outputs.read_manifest(folder)
    for field in dataclasses.fields(Manifest):
        old, new = getattr(before, field.name), getattr(manifest, field.name)
        if field.name not in _MAY_DIFFER and old != new:
            raise InputError(
                f"{folder} holds another recording: its {field.name} is {_short(old)} and would "
                f"now be {_short(new)}; choose another `path`, or delete it."
            )
    if identity is not None and before.teacher_hash != identity:
        raise InputError(
            f"{folder} holds a recording of a teacher of another `identity`; choose another "
            "`path`, or delete it."
        )
    form = manifest.form
    kept = recording.unpack(recording.first_rows(folder, form, len(probe)), form)
    now = recording.unpack(recording.pack(probe, form), form)[: len(kept)]
    # A teacher on other hardware, or called on other batches, differs in the last digits.
    if not np.allclose(kept, now, rtol=1e-2, atol=2e-2):
        raise InputError(
            f"{folder} holds a recording of another teacher, which returned other numbers for the "
            "same examples; choose another `path`, or delete it."
        )
    if before.complete:
        recorded_outputs.RecordedOutputs(folder)
    return before.complete


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:16]}..."


def _write(folder: pathlib.Path, manifest: Manifest, keys: np.ndarray) -> None:
    """Writes the keys and the manifest of a recording that begins."""
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(keys, "<u8"), allow_pickle=False)
    try:
        make_directory(folder.absolute())
        write_atomically(folder / KEYS, content.getvalue())
        manifest.write(folder)
    except OSError as error:
        raise InputError(
            f"`path` cannot be written: {folder} ({error.strerror}); choose another one."
        ) from error


def _hash_of(teacher: Any) -> str | None:
    """Returns a hash of a teacher's state, if pickle can write it: its weights are part of it."""
    found = hashlib.sha256()
    try:
        pickle.Pickler(_Hashing(found.update), protocol=5).dump(teacher)
    except Exception:  # a foreign object may raise anything
        return None
    return found.hexdigest()


class _Hashing(NamedTuple):
    """A file that hashes what is written, so that large teachers are not copied."""

    write: Callable[[Any], None]
