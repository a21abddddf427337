"""What is saved of a teacher with its student: where it is, or its models."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

from ban_tf.compat import fingerprint
from ban_tf.distillation.teacher_names import SCHEME
from ban_tf.distillation.teachers import (
    AbsentTeacher,
    RecordedTeacher,
    Teacher,
    load_model,
)

_WEIGHTS = "teacher-weights.json"


def reference(teacher: Teacher | None) -> Any:
    """Returns what a saved student remembers of its teacher, for `from_reference`.

    Returns:
        None without a teacher; "recorded", or "recording:PATH"; the paths of a teacher that was
        read from files, each in a pair with its weight if they have weights; or "absent" for a
        model, which is saved apart from its student.
    """
    if teacher is None:
        return None
    if isinstance(teacher, RecordedTeacher):
        return "recorded" if teacher.path is None else f"{SCHEME}{teacher.path}"
    if isinstance(teacher, AbsentTeacher):
        return teacher.saved
    paths, weights = getattr(teacher, "paths", None), getattr(teacher, "weights", None)
    if not paths:
        return "absent"
    return paths if weights is None else [list(pair) for pair in zip(paths, weights, strict=True)]


def from_reference(saved: Any) -> Any:
    """Returns the teacher that `reference` describes, as `as_teacher` takes it.

    A student is of use without its teacher: one that cannot be had is missed when training.
    """
    if saved is None:
        return None
    if saved == "recorded":
        return RecordedTeacher()
    absent = AbsentTeacher(saved)
    if isinstance(saved, str):
        there = pathlib.Path(saved.removeprefix(SCHEME)).is_dir()
        return RecordedTeacher(saved) if there and saved.startswith(SCHEME) else absent
    if not absent.paths or not all(pathlib.Path(path).is_file() for path in absent.paths):
        return absent
    return list(saved)


def digest(teacher: Any) -> str:
    """Returns a name for a teacher with its present weights, recording or function.

    Args:
        teacher: As from `teachers.as_teacher`.
    """
    parts = getattr(teacher, "teachers", None)
    if parts is not None:
        facts = [*map(digest, parts), teacher.weights]
    elif hasattr(teacher, "classes") and hasattr(teacher, "teacher"):
        facts = [digest(teacher.teacher), teacher.classes]
    elif isinstance(teacher, RecordedTeacher):
        facts = [None if teacher.recorded is None else teacher.recorded.digest()]
    elif hasattr(teacher, "models"):
        facts = [fingerprint.of_model(model) for model in teacher.models]
        facts += [getattr(teacher, "weights", None)]
    else:
        facts = [fingerprint.of_object(teacher)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def write(teacher: Teacher | None, folder: str | pathlib.Path) -> None:
    """Saves a teacher's models in a folder, with their weights if they have any, for `read`."""
    folder = pathlib.Path(folder)
    for index, model in enumerate(getattr(teacher, "models", [])):
        model.save(folder / f"teacher-{index}.keras")
    weights = getattr(teacher, "weights", None)
    if weights is not None:
        (folder / _WEIGHTS).write_text(json.dumps(weights), encoding="utf-8")


def read(folder: str | pathlib.Path) -> list[Any]:
    """Loads what `write` saved, as `as_teacher` takes it; an empty list if there is nothing."""
    folder = pathlib.Path(folder)
    found = sorted(folder.glob("teacher-*.keras"), key=lambda path: (len(path.name), path.name))
    models = [load_model(path) for path in found]
    if not (folder / _WEIGHTS).is_file():
        return models
    return list(
        zip(models, json.loads((folder / _WEIGHTS).read_text(encoding="utf-8")), strict=True)
    )
