"""Tasks: data and networks on which generations can be trained.

`config.declaration` declares a task before its data is loaded, `config.registry` finds the task of
a dataset by its name, `task` is the interface that a task implements, and `runner` trains,
evaluates and reports the generations of a run of any task. The tasks of this package are
`image_classification`, `multi_label_images`, `image_regression`, `segmentation`, `tables`,
`text_classification` and `language_modeling`; docs/tasks.md shows how to add one.

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
