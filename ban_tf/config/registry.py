"""Finds the task of a dataset by its name.

The tasks of this package are declared in `config.tasks`; `csv:FILE` is the task that its columns
are for. A prefix that another package has registered selects that package's task; any other name is
image classification. A package registers a task by an
entry point of the group `ban_tf.tasks`, whose name is the prefix of its datasets and whose value
is a `Declaration`:

    [project.entry-points."ban_tf.tasks"]
    sounds = "my_package.sounds:TASK"

so that `python -m ban_tf.main --dataset=sounds:PATH` finds it once the package is installed. A
program can call `register` instead.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

from ban_tf.config.declaration import Declaration
from ban_tf.config.tasks import (
    documents,
    image_regression,
    images,
    multi_label,
    segmentation,
    tables,
    text,
)
from ban_tf.datasets import number_list
from ban_tf.errors import InputError
from ban_tf.system import csv_tables

GROUP = "ban_tf.tasks"
CSV = "csv"

# The tasks of this package; the first is that of datasets that no other has.
BUILT_IN = (
    images.TASK,
    multi_label.TASK,
    image_regression.TASK,
    text.TASK,
    segmentation.TASK,
    documents.TASK,
    tables.TASK,
)
_OF_IMAGES = ("", "digits", "folder")
_registered: dict[str, Declaration] = {task.prefix: task for task in BUILT_IN if task.prefix}


def of(dataset: str) -> Declaration:
    """Returns the task of a dataset.

    Args:
        dataset: Its name, as for --dataset.

    Raises:
        InputError: The entry point of its prefix cannot be loaded, or is not a `Declaration`.
    """
    prefix, _, name = dataset.partition(":")
    if prefix in _registered:
        return _registered[prefix]
    if prefix == CSV:
        return _of_columns(csv_tables.headings(name))
    return (None if prefix in _OF_IMAGES else _from_entry_point(prefix)) or images.TASK


def _of_columns(columns: Sequence[str]) -> Declaration:
    """Returns the task of a CSV file with these columns; that of images if there are none."""
    if not columns:
        return images.TASK
    known = {*columns}
    if not number_list.is_of_numbers(CSV, columns):
        known -= {number_list.VALUE}  # images with classes may have another column of this name
    fitting = [task for task in BUILT_IN if task.columns is not None and task.columns <= known]
    return max(fitting, key=lambda task: len(task.columns or ()), default=images.TASK)


def of_settings(settings: Mapping[str, Any]) -> Declaration:
    """Returns the task of a run, by the settings that it recorded."""
    named = [task for task in BUILT_IN if task.name == settings.get("task")]
    return named[0] if named else of(settings.get("dataset", ""))


def register(declaration: Declaration) -> None:
    """Registers a task in this process, by the prefix of its datasets.

    Raises:
        InputError: It is not a `Declaration`, or its prefix belongs to another task.
    """
    if not isinstance(declaration, Declaration):
        raise InputError(f"`declaration` must be a Declaration. Received: {declaration!r}")
    prefix = declaration.prefix
    if (
        prefix in (*_OF_IMAGES, CSV)
        or _registered.setdefault(prefix, declaration) is not declaration
    ):
        raise InputError(f"`declaration` has the prefix {prefix!r}, which another task has.")


@functools.lru_cache
def _from_entry_point(prefix: str) -> Declaration | None:
    found = [*importlib.metadata.entry_points(group=GROUP, name=prefix)]
    if not found:
        return None
    try:
        declaration = found[0].load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"--dataset={prefix} is a task of {found[0].value}, which cannot be imported ({error})."
        ) from error
    if not isinstance(declaration, Declaration):
        raise InputError(
            f"--dataset={prefix} is a task of {found[0].value}, which must be a "
            f"ban_tf.tasks.Declaration; it is a {type(declaration).__name__}."
        )
    return declaration
