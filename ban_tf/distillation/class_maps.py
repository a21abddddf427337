"""Teachers of other classes than the student's.

A class of the student has the sum of the probabilities of the teacher's classes that are mapped to
it; classes that are mapped to none are left out, as if the teacher excluded them. Of classes that
no class of the teacher is mapped to, nothing is learned: there the student's own probability
stands for the teacher's, at the temperature of the objective, so that these are left to the labels.
The gradient is that of the objective over the classes that the teacher has, times the student's
probability of all of these.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ban_tf.errors import InputError
from ban_tf.system import safe_files
from ban_tf.system.arguments import is_integer

NO_CLASS = "-"  # in a file: mapped to none


class ClassMap(NamedTuple):
    """Which classes of a student those of a teacher are.

    Attributes:
        targets: Of each class of the teacher, the index of the student's class; -1 for none.
        classes: The number of the student's classes.
    """

    targets: tuple[int, ...]
    classes: int

    @property
    def is_identity(self) -> bool:
        """Whether both have the same classes in the same order."""
        return self.targets == tuple(range(self.classes))

    def groups(self) -> list[list[int]]:
        """Returns the teacher's classes of each class of the student."""
        return [
            [index for index, target in enumerate(self.targets) if target == own]
            for own in range(self.classes)
        ]


def check_targets(targets: Any) -> list[int | None]:
    """Returns the student's class of each class of the teacher, None for none, as a list.

    Raises:
        InputError: It is no sequence of classes.
    """
    found = targets.tolist() if isinstance(targets, np.ndarray) else targets
    if not isinstance(found, (list, tuple)) or not found:
        raise InputError(
            "`classes` must be a list of the student's class for each class of the teacher, None "
            f"for no class. Received: {targets!r}"
        )
    for target in found:
        if target is not None and (not is_integer(target) or target < 0):
            hint = "; match_classes finds it by names" if isinstance(target, str) else ""
            raise InputError(
                "`classes` must hold indices of the student's classes, from 0 on, or None"
                f"{hint}. Received: {target!r}"
            )
    return [None if target is None else int(target) for target in found]


def of_indices(targets: Sequence[int | None], classes: int) -> ClassMap:
    """Returns a map, given the student's class of each class of the teacher (None for none).

    Raises:
        InputError: A class is out of range, or fewer than two classes are known to the teacher.
    """
    plain = tuple(-1 if target is None else int(target) for target in targets)
    wrong = [target for target in plain if not -1 <= target < classes]
    if wrong:
        raise InputError(
            f"`classes` maps to class {wrong[0]}, but the student has {classes} classes: they are "
            f"from 0 to {classes - 1}, or None."
        )
    known = len({*plain} - {-1})
    if known < 2:
        raise InputError(
            f"`classes` maps the teacher to {known} of the student's {classes} classes; it must be "
            "at least 2, between which it can distinguish."
        )
    return ClassMap(plain, classes)


def match_classes(
    theirs: Sequence[str], ours: Sequence[str], renamed: Mapping[str, str | None] | None = None
) -> list[int | None]:
    """Returns the student's class of each class of a teacher, by their names.

    Args:
        theirs: The names of the teacher's classes, in the order of its outputs.
        ours: Those of the student's.
        renamed: The student's name (or None, for no class) of classes that are named differently.

    Raises:
        InputError: `theirs` or `ours` are no names, or hold one twice; a name in `renamed` is
            unknown.
    """
    theirs, ours = check_names("theirs", theirs), check_names("ours", ours)
    if renamed is not None and not isinstance(renamed, Mapping):
        raise InputError(
            "`renamed` must be a dictionary from names of the teacher's classes to the student's. "
            f"Received: {renamed!r}"
        )
    renamed = dict(renamed or {})
    places = {name: index for index, name in enumerate(ours)}
    for name, own in renamed.items():
        if name not in theirs or (own is not None and own not in ours):
            unknown = f"the student's {own!r}" if name in theirs else f"the teacher's {name!r}"
            raise InputError(f"`renamed` names {unknown}, which is none of the classes.")
    named = [renamed.get(name, name) for name in theirs]
    return [None if name is None else places.get(name) for name in named]


def check_names(argument: str, names: Any) -> list[str]:
    """Returns names of classes as a list.

    Args:
        argument: What messages call them.
        names: The names.

    Raises:
        InputError: They are no names, or hold one twice.
    """
    if isinstance(names, (str, Mapping)) or not isinstance(names, Iterable):
        raise InputError(f"`{argument}` must be a list of names of classes. Received: {names!r}")
    found = [str(name) for name in names]
    twice = [name for name in found if found.count(name) > 1]
    if twice:
        raise InputError(f"`{argument}` names the class {twice[0]!r} twice.")
    return found


def read(path: str, ours: Sequence[str]) -> tuple[list[str], list[int | None]]:
    """Reads the value of `--teacher_classes`.

    Args:
        path: A CSV file with a row for each class of the teacher, in the order of its outputs: its
            name in the column "teacher", and perhaps the student's in the column "student". If that
            is empty, it is the class of the same name, if there is one; `-` stands for none.
        ours: The names of the student's classes.

    Returns:
        The names of the teacher's classes, and the student's class of each, None for none.

    Raises:
        InputError: The file cannot be read, or names an unknown class.
    """
    theirs: list[str] = []
    renamed: dict[str, str | None] = {}
    for name, own in _rows(path):
        if not name or name in theirs:
            problem = f"names {name} twice" if name else "has a row without a name"
            raise InputError(f"--teacher_classes={path} {problem} in the column teacher.")
        theirs.append(name)
        if own == NO_CLASS and own not in ours:
            renamed[name] = None
        elif own:
            renamed[name] = own
    try:
        found = match_classes(theirs, ours, renamed)
    except InputError as error:
        named = next(own for own in renamed.values() if own is not None and own not in ours)
        raise InputError(
            f"--teacher_classes={path} maps to {named}, which is none of the student's classes "
            f"({_some(ours)})."
        ) from error
    try:
        of_indices(found, len(ours))
    except InputError as error:
        raise InputError(f"--teacher_classes={path}: {error}") from error
    return theirs, found


def _rows(path: str) -> Iterable[tuple[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="", opener=safe_files.regular) as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = safe_files.reason(error, "it is no table of text")
        raise InputError(f"--teacher_classes={path} cannot be read ({reason}).") from error
    if not rows or "teacher" not in rows[0]:
        raise InputError(
            f"--teacher_classes={path} must be a table of CSV with the columns teacher and "
            "student, and a row for each class of the teacher, in the order of its outputs."
        )
    return [((row["teacher"] or "").strip(), (row.get("student") or "").strip()) for row in rows]


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(map(str, names[:10]))
    return f"{listed}, ..." if len(names) > 10 else listed


def mapped(logits: np.ndarray, class_map: ClassMap) -> np.ndarray:
    """Returns log-probabilities of the student's classes, as `MappedTeacher` does, in NumPy.

    Args:
        logits: `[..., teacher classes]`.
        class_map: The map.

    Returns:
        `[..., student classes]`; -inf for classes that the teacher does not know.
    """
    columns = [
        np.logaddexp.reduce(logits[..., group], axis=-1)
        if group
        else np.full(logits.shape[:-1], -np.inf)
        for group in class_map.groups()
    ]
    found = np.stack(columns, axis=-1)
    return found - np.logaddexp.reduce(found, axis=-1, keepdims=True)
