"""Declares classification and regression of the rows of tables."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ban_tf.config.declaration import Declaration
from ban_tf.config.tasks import numbers
from ban_tf.datasets import table_files, tables
from ban_tf.errors import InputError
from ban_tf.objectives import names as objective_names

if TYPE_CHECKING:
    from ban_tf.config.options import Options


def _completed(options: Options, given: Collection[str]) -> Options:
    """Returns options with an objective that fits the column to predict."""
    heading, kind = tables.kind_of_target(options.dataset, options.target, options.target_kind)
    what = f"column {heading} of --dataset={options.dataset}"
    if kind == tables.NUMBER:
        return numbers.completed(options, given, what, ", or give --target_kind=classes")
    entry = objective_names.OBJECTIVES.get(objective_names.parse(options.objective)[0])
    if entry is not None and entry.regression:
        raise InputError(
            f"--objective={options.objective} is for numbers, but {what} has classes; choose "
            f"{', '.join(objective_names.OF_CLASSES)}, or give --target_kind=number."
        )
    return options


TASK = Declaration(
    name="tables",
    data="tables",
    prefix="table",
    implementation="ban_tf.tasks.tables:TableTask",
    supports=frozenset(
        {
            *("target", "target_kind", "ignored_columns", "categorical_columns"),
            *("validation_fraction", "test_fraction", "jit", "steps_per_execution"),
            *("teacher_from", "class_weight", "train_examples", "final_student"),
            *("teacher_signal", "monitor"),
            "strategy=multiworker",
        }
    ),
    reasons={
        "data_dir": "it is for TFDS datasets",
        "cache": "it is for images",
        "augment": "rows are not cropped or flipped",
        **dict.fromkeys(
            ("recordings", "teacher_top", "teacher_views"),
            "recorded outputs of teachers are in memory, all of them, once for each row",
        ),
    },
    defaults={
        "arch": "mlp",
        "epochs": 40,
        "batch_size": 32,
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "weight_decay": 0.1,
        "dropout": 0.2,
    },
    check_dataset=table_files.check,
    columns=frozenset(),  # any, where no other task has them
    values=True,
    completed=_completed,
)
