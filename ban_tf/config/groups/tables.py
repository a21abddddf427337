"""Tables: the flags."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from ban_tf.config.flag import flag
from ban_tf.datasets import tables


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """Tables."""

    HEADING: ClassVar[str] = "Tables"
    target: str | None = flag(
        None,
        "The column to predict; by default that named label or target, or the last one; of images "
        "that named value, target or label.",
        of_some_tasks=True,
        may_be_empty=True,
    )
    target_kind: str = flag(
        "auto",
        "Whether the column is of classes or a number; auto: a number if all cells are numbers and "
        "they are not all whole, or take more than 20 values.",
        choices=tables.TARGET_KINDS,
        of_some_tasks=True,
    )
    ignored_columns: str | None = flag(
        None,
        "Columns that the networks do not get, separated by commas.",
        of_some_tasks=True,
        may_be_empty=True,
    )
    categorical_columns: str | None = flag(
        None,
        "Columns of numbers that are codes of categories, separated by commas.",
        of_some_tasks=True,
        may_be_empty=True,
    )
