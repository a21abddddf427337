"""A recording as a documented format: a folder that any program can write, and this one checks.

1. `manifest.json`, see `Manifest`; "complete" becomes true when everything else is in place;
2. `keys.npy`, the keys of the examples, uint64 `[views, examples]`; see `example_keys`;
3. `view-00000.npy`, ..., a row for every example; see `recording`.

Nothing here needs Keras or TensorFlow.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np

from ban_tf.distillation import recording
from ban_tf.distillation.teacher_names import SCHEME
from ban_tf.errors import InputError
from ban_tf.system import json_schema, safe_files
from ban_tf.system.files import write_atomically

FORMAT, VERSION = "ban_tf recording", 1
MANIFEST, KEYS = "manifest.json", "keys.npy"
LOGITS, VALUES = "logits", "values"
NONE = {"policy": "none"}  # the augmentation of unchanged examples

_TEXT = {"type": ["string", "null"], "maxLength": 2000}
_COUNT = {"type": "integer", "minimum": 1}
_SCHEMA = {
    "type": "object",
    "required": [
        *("format", "version", "complete", "views", "examples", "classes", "outputs"),
        *("dtype", "keys_hash", "data_hash"),
    ],
    "properties": {
        "format": {"const": FORMAT},
        "version": _COUNT,
        "complete": {"type": "boolean"},
        "views": _COUNT,
        "examples": _COUNT,
        "classes": _COUNT,
        "class_names": {"type": ["strings", "null"]},
        "outputs": {"enum": [LOGITS, VALUES]},
        "dtype": {"enum": ["float16", "float32"]},
        "top": {"type": ["integer", "null"]},
        "augmentation": {"type": "object", "required": ["policy"]},
        "keys": {"enum": ["examples", "given"]},
        "keys_hash": _TEXT,
        "data_hash": _TEXT,
        "teacher": _TEXT,
        "teacher_hash": _TEXT,
    },
}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What is known of a recording; `manifest.json` has these entries.

    Attributes:
        views: How many views of the examples there are.
        examples: Rows of a view.
        classes: Entries of a row.
        outputs: "logits", or "values" of a regression.
        dtype: "float16" or "float32".
        top: How many classes of each row are kept apart; None if all are.
        class_names: In the order of the outputs; None if unknown.
        augmentation: `{"policy": "none"}`, or a policy with whatever its draws depend on.
        keys: "examples" if keys are hashes of what the teacher saw, "given" if the user gave them.
        keys_hash: SHA-256 of the keys.
        data_hash: SHA-256 of the keys of what the teacher saw.
        teacher: Its name.
        teacher_hash: What identifies its weights; None if unknown.
        version: Of the format.
        complete: Whether all views are recorded.
    """

    views: int
    examples: int
    classes: int
    outputs: str = LOGITS
    dtype: str = "float16"
    top: int | None = None
    class_names: list[str] | None = None
    augmentation: dict[str, Any] = dataclasses.field(default_factory=lambda: dict(NONE))
    keys: str = "examples"
    keys_hash: str = ""
    data_hash: str = ""
    teacher: str | None = None
    teacher_hash: str | None = None
    version: int = VERSION
    complete: bool = False

    @property
    def form(self) -> recording.Form:
        """The shape of the rows."""
        return recording.Form(self.views, self.examples, self.classes, self.top, self.dtype)

    def write(self, folder: pathlib.Path) -> None:
        """Writes `manifest.json`, atomically."""
        facts = {"format": FORMAT, **dataclasses.asdict(self)}
        write_atomically(folder / MANIFEST, json.dumps(facts, indent=2).encode())


def read_manifest(folder: pathlib.Path) -> Manifest:
    """Reads `manifest.json`.

    Raises:
        InputError: There is none, or it describes no recording that can be read.
    """
    path = folder / MANIFEST
    try:
        content = safe_files.read_below(path)
    except FileNotFoundError:
        raise InputError(
            f"{folder} is no recording: it has no {MANIFEST}; `ban_tf.record` writes one."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    facts = json_schema.read(content, _SCHEMA, path)
    if facts["version"] > VERSION:
        raise InputError(
            f"{path} has version {facts['version']} of the format, but this version of ban_tf "
            f"reads versions up to {VERSION}; update it."
        )
    known = {field.name for field in dataclasses.fields(Manifest)}
    manifest = Manifest(**{name: value for name, value in facts.items() if name in known})
    top, names = manifest.top, manifest.class_names
    if top is not None and not 0 < top < manifest.classes:
        raise InputError(f"{path} keeps the top {top} of {manifest.classes} classes.")
    if names is not None and len(names) != manifest.classes:
        raise InputError(f"{path} names {len(names)} of {manifest.classes} classes.")
    return manifest


def check_path(path: Any) -> str:
    """Returns the path of a recording as text, without `recording:` before it.

    Raises:
        InputError: It is none.
    """
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        raise InputError(f"`path` must be the folder of a recording. Received: {path!r}")
    return str(path).removeprefix(SCHEME)


def check_folder(path: str, name: str) -> None:
    """Checks that a folder holds a recording, without reading it.

    Args:
        path: The folder.
        name: What messages call it.

    Raises:
        InputError: It does not.
    """
    if not os.path.isfile(os.path.join(path, MANIFEST)):  # noqa: PTH113, PTH118
        raise InputError(
            f"{name} names a folder without {MANIFEST}; `ban_tf.record` writes recordings."
        )


class RecordedOutputs:
    """A complete recording, checked against its manifest.

    Args:
        path: Its folder.

    Attributes:
        path: Its folder.
        manifest: What is known of it.
        keys: Of the examples, uint64 `[views, examples]`.

    Raises:
        InputError: It is incomplete, has changed since it was written, or cannot be read.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self.manifest = read_manifest(self.path)
        if not self.manifest.complete:
            raise InputError(
                f"{self.path} is an incomplete recording; run the same `ban_tf.record` again, "
                "which continues it."
            )
        self.keys = self._read_keys()
        form = self.manifest.form
        self._recording = recording.Recording(self.path, form)
        for view in range(form.views):
            if not recording.is_whole(self.path, view, form):
                raise InputError(
                    f"{self.path} has changed since it was recorded: view {view} does not have "
                    "the content or shape of its manifest; delete it and record it again."
                )

    def __deepcopy__(self, memo: Any) -> RecordedOutputs:
        return self  # files do not change

    def _read_keys(self) -> np.ndarray:
        manifest = self.manifest
        try:
            with open(self.path / KEYS, "rb", opener=safe_files.regular) as file:
                keys = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{self.path / KEYS} cannot be read ({error}).") from error
        if hash_of(keys) != manifest.keys_hash or keys.shape != (manifest.views, manifest.examples):
            raise InputError(
                f"{self.path} has changed since it was recorded: {KEYS} does not fit to its "
                "manifest; delete it and record it again."
            )
        return keys

    @functools.cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        flat = self.keys.reshape(-1)
        order = np.argsort(flat, kind="stable")
        return flat[order], order

    def digest(self) -> str:
        """Returns the SHA-256 of the rows and keys, by the hashes that their files end with."""
        found = hashlib.sha256(self.manifest.keys_hash.encode())
        for view in range(self.manifest.views):
            found.update(recording.trailer(self.path, view))
        return found.hexdigest()

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Returns the places of examples, counted over all views; -1 for those not recorded.

        Args:
            keys: uint64 `[examples]`.
        """
        known, order = self._sorted
        found = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[found] == keys, order[found], -1)

    def outputs(self, places: np.ndarray) -> np.ndarray:
        """Returns recorded logits or values, float32 `[examples, classes]`.

        Args:
            places: As from `find`, none of them -1.
        """
        form = self.manifest.form
        views, rows = np.divmod(places, form.examples)
        outputs = np.empty((len(places), form.classes), np.float32)
        for view in np.unique(views):
            here = views == view
            outputs[here] = recording.unpack(self._view(int(view))[rows[here]], form)
        return outputs

    def _view(self, view: int) -> np.ndarray:
        known = self.__dict__.setdefault("_views", {})
        if view not in known:
            known[view] = self._recording.view(view)
        return known[view]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "manifest": self.manifest, "keys": self.keys} | {
            "_recording": self._recording
        }


def hash_of(keys: np.ndarray) -> str:
    """Returns the SHA-256 of keys."""
    return hashlib.sha256(np.ascontiguousarray(keys, "<u8").data).hexdigest()
