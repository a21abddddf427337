"""Tasks: what is learned from which data, so that generations of networks can be trained on it.

`declaration` says what is known of a task before its data is loaded, `registry` finds the task of
a data set by its name, `task` is the interface that a task implements, and `runner` trains,
evaluates and reports the generations of a run, whatever its task. `image_classification` and
`language_modeling` are the two tasks of this package; docs/tasks.md says how to add one.

TensorFlow is imported when `Task` is first used, so that flags are checked without it.
"""

from __future__ import annotations

import importlib
from typing import Any

from ban_tf.config.declaration import Declaration
from ban_tf.config.registry import register

__all__ = ["Declaration", "Task", "register"]


def __getattr__(name: str) -> Any:
    if name == "Task":
        return importlib.import_module("ban_tf.tasks.task").Task
    raise AttributeError(f"module 'ban_tf.tasks' has no attribute {name!r}")
